"""Feature pyramids of transformers: its backbone classes, and the image encoder of SAM 2.

One interface of the library serves them all, that of ``AutoBackbone``; a block is a stage, and
the stem, which some lack, is left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.card import CARD, Card
from ...checkpoints.opening import Checkpoint
from ...checkpoints.sizes import two_sides
from ...checkpoints.transformers_folder import architecture_of, load_folder, normalisation
from ..options import CheckpointOptions
from .maps import LoadedMaps, MapsModule

__all__ = ["KINDS", "load", "matches"]

KINDS: Mapping[str, str] = {
    "pyramid": "a backbone of transformers",
    "sam2": "the image encoder of SAM 2",
}

SAM2 = frozenset({"sam2", "sam2_video"})
"""Of both, ``model_type`` of the configuration; their files hold the same encoder."""

_SIDE = 256  # of networks that state none, such as ResNets, which take any
# Norms of each stage for detection, which other checkpoints lack: with their initial values, 1 and
# 0, they only standardise a pixel's channels.
_FRESH = "hidden_states_norms"


class _Stages(MapsModule):
    """A backbone of transformers."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self._names = model, tuple(model.out_features)

    def forward(self, x: Tensor, wanted: Sequence[int] | None) -> Sequence[Tensor]:
        """Return the feature maps of the wanted stages."""
        numbers = range(len(self._names)) if wanted is None else wanted
        self.model.out_features = [self._names[number] for number in numbers]
        maps: Sequence[Tensor] = self.model(x).feature_maps
        return maps


class _Sam2(MapsModule):
    """The encoder's pyramid, finest map first."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.vision_encoder

    def forward(self, x: Tensor, wanted: Sequence[int] | None) -> Sequence[Tensor]:
        """Return the maps of the wanted levels."""
        maps = sorted(self.encoder(x).fpn_hidden_states, key=lambda one: -one.shape[-1])
        return maps if wanted is None else [maps[number] for number in wanted]


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if this is a folder of such a network, else None."""
    model_type = checkpoint.config.get("model_type")
    if not isinstance(model_type, str) or "_class_name" in checkpoint.config:
        return None
    if model_type in SAM2:
        return "sam2"
    return "pyramid" if model_type in _classes() else None


def _classes() -> dict[str, str]:
    """Return the names of the library's backbone classes by model type; not those of timm's."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES

    found = dict(MODEL_FOR_BACKBONE_MAPPING_NAMES)
    return {kind: name for kind, name in found.items() if kind != "timm_backbone"}


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedMaps:
    """Load the network.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for, or an
        option does not fit it.
    """
    import transformers

    options.refuse_all_but((), "a transformers folder states it itself")
    folder, model_type = checkpoint.path, checkpoint.config["model_type"]
    if model_type in SAM2:
        model, sha256 = load_folder(transformers.Sam2Model, folder)
        module: MapsModule = _Sam2(model)
        config = model.config.vision_config
        stated = getattr(config.backbone_config, "image_size", None)
    else:
        backbone = getattr(transformers, _classes()[model_type])
        stages = _stages(backbone, folder)
        model, sha256 = load_folder(backbone, folder, out_features=stages, may_lack=_FRESH)
        module, config = _Stages(model), model.config
        stated = getattr(config, "image_size", None)
    mean, std = normalisation(folder)
    return LoadedMaps(
        kind="sam2" if model_type in SAM2 else "pyramid",
        source=checkpoint.source,
        sha256=sha256,
        architecture={"model_type": model_type, **architecture_of(config)},
        size=_size(stated, folder),
        card=Card.read(folder / CARD),
        module=module,
        mean=mean,
        std=std,
    )


def _stages(backbone: Any, folder: Path) -> list[str]:
    try:
        config = backbone.config_class.from_pretrained(folder, local_files_only=True)
        return [name for name in config.stage_names if name != "stem"]
    except Exception as error:  # the library's own, of a configuration that it cannot use
        raise InputError(
            f"the configuration '{folder / 'config.json'}' cannot be used: {error}"
        ) from error


def _size(stated: Any, folder: Path) -> tuple[int, int]:
    size = two_sides(_SIDE if stated is None else stated)
    if size is None:
        raise InputError(
            f"the network in '{folder}' is for images of {stated!r}: expected a side, or "
            "[height, width]"
        )
    return size
