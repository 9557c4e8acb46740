"""The weights of a guided-diffusion U-Net as those of diffusers: the same network, other names."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

from ...checkpoints.state_dict import StateDict
from .weights import build_unet

__all__ = ["Architecture", "AttentionOrder", "build", "unet_config"]

AttentionOrder = Literal["legacy", "new"]

RESNET_NAMES = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
OUTER_NAMES = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


@dataclass(frozen=True)
class Architecture:
    """What a guided-diffusion U-Net is made of.

    Parameters
    ----------
    channels : tuple of int
        Of each level, full resolution first.
    res_blocks : int
        Residual blocks of a level on the way down.
    attention : tuple of bool
        Whether each level has attention.
    scale_shift : bool
        Whether the time embedding scales and shifts a norm (else it is added).
    resblock_updown : bool
        Whether residual blocks change the resolution (else convolutions do).
    out_channels : int
        3, or 6 with a learned variance.
    head_channels, heads : int or None
        Channels of an attention head, or their fixed number; the other one is None.
    attention_order : {"legacy", "new"}
        How the rows of qkv are ordered.
    """

    channels: tuple[int, ...]
    res_blocks: int
    attention: tuple[bool, ...]
    scale_shift: bool
    resblock_updown: bool
    out_channels: int
    head_channels: int | None
    heads: int | None
    attention_order: AttentionOrder

    @property
    def levels(self) -> int:
        """Number of resolutions."""
        return len(self.channels)

    @property
    def per_level(self) -> int:
        """Output blocks of a level."""
        return self.res_blocks + 1

    def heads_of(self, channels: int) -> int:
        """Return the number of attention heads of a layer with so many channels."""
        return self.heads or channels // (self.head_channels or channels)

    def describe(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def build(state: StateDict, architecture: Architecture) -> Any:
    """Return diffusers' U-Net with the weights of a guided-diffusion checkpoint.

    Parameters
    ----------
    state : dict of str to tensor
        With guided-diffusion's key names; not changed.
    architecture : Architecture
        What `read_architecture` says of it.

    Returns
    -------
    diffusers.UNet2DModel
        In evaluation mode, on the CPU, float32.

    Raises
    ------
    InputError
        If weights are missing, left over, or of another shape than the architecture wants.
    """
    config = unet_config(architecture)
    unet = build_unet(config, _remap(state, architecture), "a guided-diffusion U-Net")
    if architecture.heads is not None:
        _fix_heads(unet, architecture.heads)
    return unet


def unet_config(architecture: Architecture) -> dict[str, Any]:
    """Return a U-Net as diffusers' ``UNet2DModel`` is configured."""
    down = "ResnetDownsampleBlock2D" if architecture.resblock_updown else "DownBlock2D"
    up = "ResnetUpsampleBlock2D" if architecture.resblock_updown else "UpBlock2D"
    sampler = "resnet" if architecture.resblock_updown else "conv"
    return {
        "in_channels": 3,
        "out_channels": architecture.out_channels,
        "block_out_channels": architecture.channels,
        "layers_per_block": architecture.res_blocks,
        "down_block_types": tuple("AttnDownBlock2D" if a else down for a in architecture.attention),
        "up_block_types": tuple(
            "AttnUpBlock2D" if a else up for a in reversed(architecture.attention)
        ),
        "downsample_type": sampler,
        "upsample_type": sampler,
        "attention_head_dim": architecture.head_channels,  # None: `_fix_heads` sets them
        "norm_num_groups": 32,
        "attn_norm_num_groups": 32,
        "norm_eps": 1e-5,
        "resnet_time_scale_shift": "scale_shift" if architecture.scale_shift else "default",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def _fix_heads(unet: Any, heads: int) -> None:
    """Set one number of heads for all levels, which diffusers' configuration cannot express."""
    for module in unet.modules():
        if type(module).__name__ == "Attention":
            module.heads = heads
            module.scale = (module.to_q.in_features / heads) ** -0.5


def _remap(state: StateDict, architecture: Architecture) -> StateDict:
    """Rename the tensors; split qkv into three. Keys without a counterpart keep their names."""
    prefixes = dict(_prefixes(architecture))
    renamed: StateDict = {}
    for key, tensor in state.items():
        parts = key.split(".")
        for cut in (3, 2):  # blocks have three parts: input_blocks.4.0; the middle two
            prefix, rest = ".".join(parts[:cut]), ".".join(parts[cut:])
            if prefix in prefixes:
                renamed |= _leaf(prefixes[prefix], rest, tensor, architecture)
                break
        else:
            renamed[key] = tensor
    return renamed


def _prefixes(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Yield each module's name there and here."""
    yield from OUTER_NAMES.items()
    for there, here in (("0", "resnets.0"), ("1", "attentions.0"), ("2", "resnets.1")):
        yield f"middle_block.{there}", f"mid_block.{here}"
    per_level, last = architecture.per_level, architecture.levels - 1
    for number in range(1, architecture.levels * per_level):
        level, index = divmod(number - 1, per_level)
        here = f"down_blocks.{level}"
        if index == per_level - 1:
            yield f"input_blocks.{number}.0", f"{here}.downsamplers.0"
        else:
            yield f"input_blocks.{number}.0", f"{here}.resnets.{index}"
            yield f"input_blocks.{number}.1", f"{here}.attentions.{index}"
    for number in range(architecture.levels * per_level):
        level, index = divmod(number, per_level)
        here, has_attention = f"up_blocks.{level}", architecture.attention[last - level]
        yield f"output_blocks.{number}.0", f"{here}.resnets.{index}"
        if has_attention:
            yield f"output_blocks.{number}.1", f"{here}.attentions.{index}"
        if index == per_level - 1 and level != last:
            yield f"output_blocks.{number}.{1 + has_attention}", f"{here}.upsamplers.0"


def _leaf(module: str, rest: str, tensor: Tensor, architecture: Architecture) -> StateDict:
    name, _, kind = rest.rpartition(".")
    if name == "qkv":
        parts = _split_qkv(tensor, architecture)
        return {f"{module}.to_{part}.{kind}": w for part, w in zip("qkv", parts, strict=True)}
    if name == "proj_out":
        return {f"{module}.to_out.0.{kind}": tensor.reshape(tensor.shape[:2])}
    names = {**RESNET_NAMES, "norm": "group_norm", "op": "conv", "": ""}
    here = names.get(name, name)
    return {".".join(part for part in (module, here, kind) if part): tensor}


def _split_qkv(tensor: Tensor, architecture: Architecture) -> tuple[Tensor, ...]:
    """Return the rows of q, k and v.

    The legacy order is head by head, each with its q, k and v: ``(heads, 3, d)``; the new one
    ``(3, heads, d)``, which is that of three separate layers.
    """
    tensor = tensor.reshape(tensor.shape[:2])  # (3C, C, 1) -> (3C, C); a bias stays (3C,)
    if architecture.attention_order == "new":
        return tensor.chunk(3)
    heads = architecture.heads_of(tensor.shape[0] // 3)
    by_head = tensor.reshape(heads, 3, -1, *tensor.shape[1:])
    return tuple(by_head.transpose(0, 1).flatten(1, 2).contiguous())
