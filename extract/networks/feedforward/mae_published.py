"""Masked autoencoders (He et al., CVPR 2022) in the published form, as transformers' model.

Keys are timm's: ``patch_embed.proj``, ``blocks.N.attn.qkv``, …; a decoder may be there and is left
out. Shapes show all but the number of heads.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict, digest, some_keys
from ...checkpoints.transformers_folder import loaded_quietly
from ..options import CheckpointOptions
from .trunk import LoadedTrunk
from .vit import MAE_BLOCKS, MaeTrunk, last_blocks

__all__ = ["KINDS", "load", "matches"]

KINDS: Mapping[str, str] = {"mae": "a masked autoencoder (MAE)"}

SIGNS = ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "pos_embed", "cls_token")
# Axes of what the architecture is read off.
AXES = {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2}

# Of the published sizes, by channels; of others 64 channels a head.
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}

OUTER = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
INNER = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}

KEY = re.compile(rf"blocks\.\d+\.({'|'.join((*INNER, 'attn.qkv'))})\.(weight|bias)")


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    state = checkpoint.state or {}
    return "mae" if all(key in state for key in SIGNS[:2]) else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedTrunk:
    """Load the encoder.

    Raises
    ------
    InputError
        If the weights are not those of such a network, or an option does not fit it.
    """
    options.refuse_all_but(("heads", "head_channels"), "a MAE takes no noise")
    state = checkpoint.state or {}
    config = mae_config(state, options.heads, options.head_channels)
    side = config["image_size"]
    return LoadedTrunk(
        kind="mae",
        source=checkpoint.source,
        sha256=digest({"weights": checkpoint.path}),
        architecture=config,
        size=(side, side),
        weights=checkpoint.weights,
        trunk=MaeTrunk(build_mae(state, config)),
        blocks=last_blocks(config["num_hidden_layers"], MAE_BLOCKS),
    )


def mae_config(state: StateDict, heads: int | None, head_channels: int | None) -> dict[str, Any]:
    """Read the architecture off a state dict, as values of transformers' ``ViTMAEConfig``.

    Parameters
    ----------
    state : dict
    heads, head_channels : int, optional
        The number of heads, or channels of each, where not the usual.

    Raises
    ------
    InputError
        If it is no such network, or the heads do not divide its channels.
    """
    _refuse_other_forms(state)
    channels, colours, patch, _ = state["patch_embed.proj.weight"].shape
    positions = state["pos_embed"].shape[1] - 1
    side = round(positions**0.5)
    if side * side != positions or colours != 3:
        raise InputError(
            f"the MAE checkpoint has {positions} positions of {colours} colours: expected those of "
            "a square RGB image and a class token"
        )
    usual = channels // head_channels if head_channels else HEADS.get(channels, channels // 64)
    heads = heads or usual
    if not heads or channels % heads:
        raise InputError(
            f"{channels} channels cannot be shared by {heads} heads: give the --heads that it was "
            "trained with"
        )
    return {
        "hidden_size": channels,
        "num_hidden_layers": 1 + max(int(k.split(".")[1]) for k in state if KEY.fullmatch(k)),
        "num_attention_heads": heads,
        "intermediate_size": state["blocks.0.mlp.fc1.weight"].shape[0],
        "image_size": side * patch,
        "patch_size": patch,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
    }


def _refuse_other_forms(state: StateDict) -> None:
    lacking = [key for key in dict.fromkeys((*SIGNS, *AXES)) if key not in state]
    strange = [k for k in state if not (k in OUTER or _of_decoder(k) or KEY.fullmatch(k))]
    odd = [key for key, axes in AXES.items() if key in state and state[key].ndim != axes]
    if lacking or strange or odd:
        why = f"lacks {some_keys(lacking)}" if lacking else f"has {some_keys(strange or odd)}"
        raise InputError(
            f"not a MAE checkpoint: it {why}{'' if lacking or strange else ' of another shape'}. "
            "Other vision transformers, as DINOv2 and DINOv3, are taken as transformers folders"
        )


def build_mae(state: StateDict, config: dict[str, Any]) -> Any:
    """Return transformers' ``ViTMAEModel`` with the weights of a published state dict.

    Raises
    ------
    InputError
        If weights are missing or of other shapes.
    """
    from transformers import ViTMAEConfig, ViTMAEModel

    wanted = {key: value for key, value in state.items() if not _of_decoder(key)}
    return loaded_quietly(
        ViTMAEModel,
        "the weights of the MAE checkpoint",
        None,
        config=ViTMAEConfig(**config, mask_ratio=0.0),
        state_dict=dict(_renamed(wanted)),
    )


def _of_decoder(key: str) -> bool:
    return key.startswith(("decoder_", "mask_token", "head.", "fc_norm."))


def _renamed(state: StateDict) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors under transformers' names on the hub, which any version of it knows."""
    for key, value in state.items():
        if key in OUTER:
            yield OUTER[key], value
            continue
        _, number, *rest = key.split(".")
        part, kind = ".".join(rest[:-1]), rest[-1]
        where = f"encoder.layer.{number}"
        if part == "attn.qkv":
            for name, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                yield f"{where}.attention.attention.{name}.{kind}", rows.contiguous()
        else:
            yield f"{where}.{INNER[part]}.{kind}", value
