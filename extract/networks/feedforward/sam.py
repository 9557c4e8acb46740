"""The image encoder of SAM (Kirillov et al., ICCV 2023), of transformers or as published.

Blocks are the transformer's, then the neck, whose map is SAM's image embedding. Positions were
learnt for images of one size; for another they are interpolated.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ....store.errors import InputError
from ...checkpoints.card import CARD, Card
from ...checkpoints.opening import Checkpoint
from ...checkpoints.sizes import MOST_SIDE, two_sides
from ...checkpoints.state_dict import StateDict, digest
from ...checkpoints.transformers_folder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    architecture_of,
    load_folder,
    loaded_quietly,
    normalisation,
)
from ..clean import Shape
from ..options import CheckpointOptions
from .trunk import LoadedTrunk, Trunk

__all__ = ["KINDS", "SamTrunk", "load", "matches"]

KINDS: Mapping[str, str] = {"sam": "the image encoder of SAM"}

MODELS = {"sam": "SamModel", "sam_hq": "SamHQModel"}
"""By the ``model_type`` of the configuration."""
SIGNS = ("patch_embed.proj.weight", "blocks.0.attn.rel_pos_h", "neck.0.weight")
"""Keys by which a published encoder is recognised."""

_BLOCK = re.compile(r"blocks\.(\d+)\.")
# Parts of names, as published and of transformers.
_NAMES = (
    (re.compile(r"^blocks\.(\d+)\.norm([12])\."), r"layers.\1.layer_norm\2."),
    (re.compile(r"^blocks\."), "layers."),
    (re.compile(r"^patch_embed\.proj\."), "patch_embed.projection."),
    (re.compile(r"^neck\.0\."), "neck.conv1."),
    (re.compile(r"^neck\.1\."), "neck.layer_norm1."),
    (re.compile(r"^neck\.2\."), "neck.conv2."),
    (re.compile(r"^neck\.3\."), "neck.layer_norm2."),
)


class _Neck(nn.Module):
    """The neck, with channels last, as the blocks have them."""

    def __init__(self, neck: Any) -> None:
        super().__init__()
        self.neck = neck

    def forward(self, h: Tensor) -> Tensor:
        """(B, h, w, C) → (B, h, w, C')."""
        found: Tensor = self.neck(h)
        return found.permute(0, 2, 3, 1)


class SamTrunk(Trunk):
    """The encoder's patches, blocks and neck.

    Parameters
    ----------
    encoder : transformers.models.sam.modeling_sam.SamVisionEncoder
    """

    def __init__(self, encoder: Any) -> None:
        config = encoder.config
        super().__init__([*encoder.layers, _Neck(encoder.neck)], config.patch_size)
        self._channels = [config.hidden_size] * len(encoder.layers) + [config.output_channels]
        self.projection, self.positions = encoder.patch_embed.projection, encoder.pos_embed

    def begin(self, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the patches, (B, h, w, C)."""
        h: Tensor = self.projection(x).permute(0, 2, 3, 1)
        if self.positions is None:
            return h, {}
        positions = self.positions
        if positions.shape[1:3] != h.shape[1:3]:
            positions = nn.functional.interpolate(
                positions.permute(0, 3, 1, 2), h.shape[1:3], mode="bicubic", align_corners=False
            ).permute(0, 2, 3, 1)
        return h + positions, {}

    def as_map(self, h: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, h, w, C) → (B, C, h, w)."""
        return h.permute(0, 3, 1, 2)

    def shapes(self, row_shape: tuple[int, int], inputs: bool) -> list[Shape]:
        """Return channels, height and width of each block's output, or of its input."""
        height, width = (side // self.cell for side in row_shape)
        channels = [self._channels[0], *self._channels[:-1]] if inputs else self._channels
        return [(count, height, width) for count in channels]


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if this is such a network, else None."""
    state = checkpoint.state or {}
    published = all(key in state for key in SIGNS)
    stated = str(checkpoint.config.get("model_type")) in MODELS
    return "sam" if published or (stated and "_class_name" not in checkpoint.config) else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedTrunk:
    """Load the encoder.

    Raises
    ------
    InputError
        If the weights cannot be read or are those of another network, or an option does not fit.
    """
    options.refuse_all_but((), "the checkpoint shows it, or the network takes no noise")
    if checkpoint.state is None:
        encoder, sha256 = _of_folder(checkpoint)
        mean, std = normalisation(checkpoint.path)
    else:
        encoder, sha256 = _of_file(checkpoint.state), digest({"weights": checkpoint.path})
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    config = encoder.config
    attends = [int(number) for number in config.global_attn_indexes]
    return LoadedTrunk(
        kind="sam",
        source=checkpoint.source,
        sha256=sha256,
        architecture=architecture_of(config),
        size=(config.image_size, config.image_size),
        card=Card.read(checkpoint.path / CARD) if checkpoint.state is None else Card(),
        weights=checkpoint.weights,
        trunk=SamTrunk(encoder),
        blocks=(*attends, config.num_hidden_layers),
        mean=mean,
        std=std,
    )


def _of_folder(checkpoint: Checkpoint) -> tuple[Any, str]:
    import transformers

    folder = checkpoint.path
    kind = getattr(transformers, MODELS[checkpoint.config["model_type"]])
    model, sha256 = load_folder(kind, folder)
    encoder = model.vision_encoder
    stated = encoder.config.image_size
    if not isinstance(stated, int) or two_sides(stated) is None:
        raise InputError(
            f"the network in '{folder}' is for images of {stated}: expected one side, up to "
            f"{MOST_SIDE}"
        )
    return encoder, sha256


def _of_file(state: StateDict) -> Any:
    from transformers import SamVisionConfig, SamVisionModel

    return loaded_quietly(
        SamVisionModel,
        "the weights of the SAM checkpoint",
        None,
        config=SamVisionConfig(**_config(state)),
        state_dict=dict(_renamed(state)),
    ).vision_encoder


def _config(state: StateDict) -> dict[str, Any]:
    """Read the architecture off a state dict, as values of transformers' ``SamVisionConfig``."""
    depth = 1 + max(int(found[1]) for key in state if (found := _BLOCK.match(key)))
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    # relative positions: 2·side - 1 of a window's or of the image's side, and a head's channels
    spans = [state[f"blocks.{n}.attn.rel_pos_h"].shape[0] for n in range(depth)]
    head = state["blocks.0.attn.rel_pos_h"].shape[1]
    if width % head:
        raise InputError(
            f"not the image encoder of SAM: {width} channels cannot be shared by heads of {head}"
        )
    return {
        "hidden_size": width,
        "output_channels": state["neck.0.weight"].shape[0],
        "num_hidden_layers": depth,
        "num_attention_heads": width // head,
        "image_size": (max(spans) + 1) // 2 * patch,
        "patch_size": patch,
        "use_abs_pos": "pos_embed" in state,
        "window_size": (min(spans) + 1) // 2,
        "global_attn_indexes": [n for n, span in enumerate(spans) if span == max(spans)],
        "mlp_dim": state["blocks.0.mlp.lin1.weight"].shape[0],
    }


def _renamed(state: StateDict) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors under transformers' names."""
    for key, tensor in state.items():
        name = key
        for published, here in _NAMES:
            name = published.sub(here, name)
        yield f"vision_encoder.{name}", tensor
