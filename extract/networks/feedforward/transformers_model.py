"""MAE, DINOv2 and DINOv3 as folders of transformers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....store.errors import InputError
from ...checkpoints.card import CARD, Card
from ...checkpoints.opening import Checkpoint
from ...checkpoints.sizes import MOST_SIDE, two_sides
from ...checkpoints.transformers_folder import (
    UNUSED,
    architecture_of,
    load_folder,
    normalisation,
)
from ..options import CheckpointOptions
from .convnext import ConvNextTrunk
from .trunk import ConvolutionalTrunk, LoadedTrunk, Trunk
from .vit import DINO_BLOCKS, MAE_BLOCKS, DinoTrunk, MaeTrunk, last_blocks

__all__ = ["KINDS", "MODELS", "load", "matches"]

KINDS: Mapping[str, str] = {
    "mae": "a masked autoencoder (MAE)",
    "dinov2": "a DINOv2 network",
    "dinov3": "a DINOv3 network",
}


@dataclass(frozen=True)
class _Model:
    """How transformers' model of one type becomes a trunk."""

    kind: str
    class_name: str
    trunk: Callable[[Any], Trunk]
    blocks: int = DINO_BLOCKS


MODELS = {
    "vit_mae": _Model("mae", "ViTMAEModel", MaeTrunk, MAE_BLOCKS),
    "dinov2": _Model("dinov2", "Dinov2Model", DinoTrunk),
    "dinov2_with_registers": _Model("dinov2", "Dinov2WithRegistersModel", DinoTrunk),
    "dinov3_vit": _Model("dinov3", "DINOv3ViTModel", DinoTrunk),
    "dinov3_convnext": _Model("dinov3", "DINOv3ConvNextModel", ConvNextTrunk),
}
"""By the ``model_type`` of the configuration."""

# Sizes are stated even where they are the library's defaults, which its configuration leaves out.
_SIZES = (
    "hidden_size",
    "hidden_sizes",
    "num_hidden_layers",
    "depths",
    "num_attention_heads",
    "image_size",
    "patch_size",
)


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if this is a folder of such a network, else None."""
    model = MODELS.get(str(checkpoint.config.get("model_type")))
    return None if model is None or "_class_name" in checkpoint.config else model.kind


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedTrunk:
    """Load the network.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for, or an
        option does not fit it.
    """
    options.refuse_all_but((), "a transformers folder states it itself")
    folder = checkpoint.path
    model = MODELS[checkpoint.config["model_type"]]
    trunk, architecture, sha256 = _load_trunk(folder, checkpoint.config["model_type"], model)
    side = architecture["image_size"]
    mean, std = normalisation(folder)
    return LoadedTrunk(
        kind=model.kind,
        source=checkpoint.source,
        sha256=sha256,
        architecture=architecture,
        size=(side, side) if isinstance(side, int) else tuple(side),
        card=Card.read(folder / CARD),
        trunk=trunk,
        blocks=trunk.stage_ends
        if isinstance(trunk, ConvolutionalTrunk)
        else last_blocks(len(trunk.blocks), model.blocks),
        mean=mean,
        std=std,
    )


def _load_trunk(folder: Path, model_type: str, model: _Model) -> tuple[Trunk, dict[str, Any], str]:
    """Load a network; return it, what of its configuration changes its activations, its sha256."""
    import transformers

    how: dict[str, Any] = {"mask_ratio": 0.0} if model_type == "vit_mae" else {}
    network, sha256 = load_folder(getattr(transformers, model.class_name), folder, **how)
    _refuse_sizes(network.config, folder)
    plain = architecture_of(network.config, UNUSED)
    sizes = {s: getattr(network.config, s) for s in _SIZES if hasattr(network.config, s)}
    return model.trunk(network), {"model_type": model_type, **sizes, **plain}, sha256


def _refuse_sizes(config: Any, folder: Path) -> None:
    """Refuse sizes that the library accepts and cannot compute, or a trunk cannot lay out."""
    sides = two_sides(config.image_size)
    if config.model_type == "dinov3_convnext":
        if sides is None or len(config.depths) != len(config.hidden_sizes):
            raise InputError(
                f"the network in '{folder}' has stages of {config.depths} blocks and of "
                f"{config.hidden_sizes} channels, for images of {config.image_size}: expected as "
                "many of each, and one or two sides of an image, up to {MOST_SIDE}"
            )
        return
    if not isinstance(config.patch_size, int) or sides is None:
        raise InputError(
            f"the network in '{folder}' has patches of {config.patch_size} and images of "
            f"{config.image_size}: expected one side of a patch, and one or two of an image, up "
            f"to {MOST_SIDE}"
        )
    if config.hidden_size % config.num_attention_heads:
        raise InputError(
            f"the network in '{folder}' has {config.hidden_size} channels, which cannot be shared "
            f"by {config.num_attention_heads} heads: is its config.json damaged?"
        )
