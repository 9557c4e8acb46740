"""Checkpoints of MONAI's ``DiffusionModelUNet`` as diffusers' U-Net.

The two libraries compute the same network under different names, whose forms before MONAI 1.4, of
MONAI Generative, are known too. The architecture is read off the shapes; what shapes do not show
has MONAI's default unless an option sets it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict, digest
from ..options import CheckpointOptions
from .class_embedding import choose_class
from .noise import NoiseSchedule
from .unet import LoadedUNet
from .weights import refuse_other_weights

__all__ = ["KINDS", "load", "matches"]

KINDS: Mapping[str, str] = {"monai": "MONAI's DiffusionModelUNet"}

SIGNS = ("conv_in.conv.weight", "time_embed.0.weight", "middle_block.resnet_1.norm1.weight")
"""Keys by which such a network is recognised."""

HEAD_CHANNELS, NORM_GROUPS = 8, 32  # MONAI's defaults
CLASSES = "class_embedding.weight"
_LEVEL = re.compile(r"down_blocks\.(\d+)\.")
_WAYS = {"Down": "AttnDownBlock2D", "Up": "AttnUpBlock2D"}

# Parts of names, there and here, in this order.
_NAMES = tuple(
    (re.compile(there), here)
    for there, here in (
        (r"\.conv\.(weight|bias)$", r".\1"),  # of MONAI's Convolution
        (r"^time_embed\.0", "time_embedding.linear_1"),
        (r"^time_embed\.2", "time_embedding.linear_2"),
        (r"^middle_block\.resnet_1", "mid_block.resnets.0"),
        (r"^middle_block\.resnet_2", "mid_block.resnets.1"),
        (r"^middle_block\.attention", "mid_block.attentions.0"),
        (r"^out\.0", "conv_norm_out"),
        (r"^out\.2", "conv_out"),
        (r"(down|up)sampler\.(op|postconv|conv)?\.?(weight|bias)$", r"\1samplers.0.conv.\3"),
        (r"(down|up)sampler\.", r"\1samplers.0."),
        (r"skip_connection", "conv_shortcut"),
        (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
        (r"(attentions\.\d+)\.attn\.", r"\1."),
        (r"\.(out_proj|proj_attn)\.", ".to_out.0."),
    )
)


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    return "monai" if all(key in (checkpoint.state or {}) for key in SIGNS) else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedUNet:
    """Load the U-Net of a file.

    Raises
    ------
    InputError
        If the weights are not those of such a network of 2-D images, or an option does not fit it.
    """
    options.refuse(("prompt", "attention_order", "heads"), "a DiffusionModelUNet has none")
    state = dict(checkpoint.state or {})
    table = state.pop(CLASSES, None)
    config = _config(state, options)
    embedded = len(state["time_embed.0.weight"])
    number, addition = choose_class(table, options.class_number, embedded)
    described = {
        **config,
        "head_channels": config["attention_head_dim"],
        "norm_groups": config["norm_num_groups"],
    }
    return LoadedUNet(
        kind="monai",
        source=checkpoint.source,
        sha256=digest({"weights": checkpoint.path}),
        architecture=described | ({} if number is None else {"class_number": number}),
        size=None,  # a file does not show it, nor does the depth: medical images have any
        weights=checkpoint.weights,
        unet=_build(state, config),
        schedule=NoiseSchedule.of_options(options.schedule, options.diffusion_steps),
        addition=addition,
    )


def _config(state: StateDict, options: CheckpointOptions) -> dict[str, Any]:
    """Return the network as diffusers configures it."""
    _refuse_others(state)
    levels = 1 + max((int(m[1]) for key in state if (m := _LEVEL.match(key))), default=-1)
    firsts = [f"down_blocks.{level}.resnets.0.conv1.conv.weight" for level in range(levels)]
    depths = [_count(state, f"down_blocks.{level}.resnets") for level in range(levels)]
    if any(key not in state for key in firsts) or len(set(depths)) != 1:
        raise InputError(
            f"the DiffusionModelUNet has {depths} residual blocks a level: expected as many in each"
        )
    channels = [state[key].shape[0] for key in firsts]
    attends = [f"down_blocks.{n}.attentions.0.norm.weight" in state for n in range(levels)]
    head_channels = options.head_channels or HEAD_CHANNELS
    groups = options.norm_groups or NORM_GROUPS
    attending = [c for c, has in zip(channels, attends, strict=True) if has]
    for widths, unit, name, option in (
        (channels, groups, "groups of its normalisation", "--norm-groups"),
        ((*attending, channels[-1]), head_channels, "channels a head", "--head-channels"),
    ):
        if any(width % unit for width in widths):
            raise InputError(
                f"{', '.join(map(str, widths))} channels cannot be split by {unit} {name}. A file "
                f"does not show it: give {option} as the network was built"
            )
    resnets = "down_blocks.0.downsampler.conv1.conv.weight" in state
    plain = {way: f"Resnet{way}sampleBlock2D" if resnets else f"{way}Block2D" for way in _WAYS}
    return {
        "in_channels": state["conv_in.conv.weight"].shape[1],
        "out_channels": state["out.2.conv.weight"].shape[0],
        "block_out_channels": channels,
        "layers_per_block": depths[0],
        "down_block_types": [_WAYS["Down"] if a else plain["Down"] for a in attends],
        "up_block_types": [_WAYS["Up"] if a else plain["Up"] for a in reversed(attends)],
        "downsample_type": "resnet" if resnets else "conv",
        "upsample_type": "resnet" if resnets else "conv",
        "attention_head_dim": head_channels,
        "norm_num_groups": groups,
        "attn_norm_num_groups": groups,
        "norm_eps": 1e-6,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def _count(state: StateDict, prefix: str) -> int:
    depth = prefix.count(".") + 1
    return len({key.split(".")[depth] for key in state if key.startswith(f"{prefix}.")})


def _refuse_others(state: StateDict) -> None:
    shape = tuple(state["conv_in.conv.weight"].shape)
    if len(shape) != 4:
        raise InputError(
            f"the DiffusionModelUNet's first convolution has the shape {shape}: expected one of "
            "2-D images"
        )
    if shape[1] not in (1, 3):
        raise InputError(
            f"the DiffusionModelUNet takes {shape[1]} channels: expected 1 (grey) or 3 (RGB), "
            "without a condition beside the image"
        )
    if any("transformer_blocks" in key for key in state):
        raise InputError(
            "the DiffusionModelUNet attends to a condition (with_conditioning): expected one that "
            "takes an image and a timestep only"
        )


def _build(state: StateDict, config: Mapping[str, Any]) -> Any:
    from diffusers import UNet2DModel

    with torch.device("meta"):
        unet = UNet2DModel(**config)
    renamed = dict(_renamed(state))
    wanted = unet.state_dict()
    for key in wanted:  # without a last linear layer (include_fc), attention ends as it is
        if ".to_out.0." in key and key not in renamed:
            width = len(wanted[key])
            renamed[key] = torch.eye(width) if key.endswith("weight") else torch.zeros(width)
    refuse_other_weights(renamed, wanted, KINDS["monai"])
    unet.load_state_dict(renamed, strict=True, assign=True)
    return unet.eval().requires_grad_(False)


def _renamed(state: StateDict) -> Iterator[tuple[str, Tensor]]:
    for key, tensor in state.items():
        name = key
        for there, here in _NAMES:
            name = there.sub(here, name)
        module, _, kind = name.rpartition(".")
        if module.endswith(".qkv") and tensor.ndim and len(tensor) % 3 == 0 and len(tensor):
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                yield f"{module.removesuffix('qkv')}to_{part}.{kind}", rows
        else:
            yield name, tensor
