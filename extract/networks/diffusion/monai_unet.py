"""Checkpoints of MONAI's ``DiffusionModelUNet`` as diffusers' U-Net.

The two libraries compute the same network under different names, whose forms before MONAI 1.4, of
MONAI Generative, are known too. The architecture is read off the shapes; what shapes do not show
has MONAI's default unless an option sets it.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import StateDict, digest
from ..options import CheckpointOptions
from .class_embedding import choose_class
from .guided_diffusion_weights import Architecture, unet_config
from .noise import NoiseSchedule
from .unet import LoadedUNet
from .weights import build_unet

__all__ = ["KINDS", "load", "matches"]

KINDS: Mapping[str, str] = {"monai": "MONAI's DiffusionModelUNet"}

SIGNS = ("conv_in.conv.weight", "time_embed.0.weight", "middle_block.resnet_1.norm1.weight")
"""Keys by which such a network is recognised."""

HEAD_CHANNELS, NORM_GROUPS = 8, 32  # MONAI's defaults
CLASSES = "class_embedding.weight"
_LEVEL = re.compile(r"down_blocks\.(\d+)\.")
_ATTENTION_NORM = re.compile(
    r"(middle_block\.attention|\w+_blocks\.\d+\.attentions\.\d+)\.norm\.weight"
)

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
    _refuse_others(state)
    groups = options.norm_groups or NORM_GROUPS
    architecture = _architecture(state, options.head_channels or HEAD_CHANNELS, groups)
    embedded = len(state["time_embed.0.weight"])
    classes, addition = choose_class(table, options.class_number, embedded)
    own = {
        "in_channels": state["conv_in.conv.weight"].shape[1],
        "norm_num_groups": groups,
        "attn_norm_num_groups": groups,
        "norm_eps": 1e-6,
    }
    config = unet_config(architecture) | own
    return LoadedUNet(
        kind="monai",
        source=checkpoint.source,
        sha256=digest({"weights": checkpoint.path}),
        architecture=architecture.describe() | {"norm_groups": groups} | classes,
        size=None,  # a file does not show it, nor does the depth: medical images have any
        weights=checkpoint.weights,
        unet=build_unet(config, dict(_renamed(state)), KINDS["monai"]),
        schedule=NoiseSchedule.of_options(options.schedule, options.diffusion_steps),
        addition=addition,
    )


def _architecture(state: StateDict, head_channels: int, groups: int) -> Architecture:
    levels = 1 + max((int(m[1]) for key in state if (m := _LEVEL.match(key))), default=-1)
    firsts = [f"down_blocks.{level}.resnets.0.conv1.conv.weight" for level in range(levels)]
    depths = [_count(state, f"down_blocks.{level}.resnets") for level in range(levels)]
    if any(key not in state for key in firsts) or len(set(depths)) != 1:
        raise InputError(
            f"the DiffusionModelUNet has {depths} residual blocks a level: expected as many in each"
        )
    channels = tuple(state[key].shape[0] for key in firsts)
    attends = tuple(f"down_blocks.{n}.attentions.0.norm.weight" in state for n in range(levels))
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
    return Architecture(
        channels=channels,
        res_blocks=depths[0],
        attention=attends,
        scale_shift=False,
        resblock_updown="down_blocks.0.downsampler.conv1.conv.weight" in state,
        out_channels=state["out.2.conv.weight"].shape[0],
        head_channels=head_channels,
        heads=None,
        attention_order="new",  # three layers: as they are
    )


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


def _renamed(state: StateDict) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors under diffusers' names."""
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
    if not any(key.endswith((".out_proj.weight", ".proj_attn.weight")) for key in state):
        yield from _last_layers(state)


def _last_layers(state: StateDict) -> Iterator[tuple[str, Tensor]]:
    """Yield a last layer that changes nothing for attention without one (``include_fc``)."""
    for key, tensor in state.items():
        found = _ATTENTION_NORM.fullmatch(key)
        if found:
            module = found[1].replace("middle_block.attention", "mid_block.attentions.0")
            yield f"{module}.to_out.0.weight", torch.eye(len(tensor))
            yield f"{module}.to_out.0.bias", torch.zeros(len(tensor))
