"""Sizes of U-Net, and which of them fits how many images."""

from dataclasses import dataclass
from typing import Any

import torch

from ...store.errors import InputError

__all__ = ["PRESETS", "Preset", "build", "choose_preset", "levels_of"]

_SMALLEST_MAP = 8
_ATTENTION_FROM = 4  # stride: attention over finer maps costs more than all else


@dataclass(frozen=True)
class Preset:
    """A size of U-Net.

    Parameters
    ----------
    widths : tuple of int
        Channels at stride 1, 2, 4, …; the last also of coarser levels.
    res_blocks : int
        Residual blocks a level of the encoder; the decoder has one more.
    images : int
        From how many images on it is the default.
    dropout : float
    """

    widths: tuple[int, ...]
    res_blocks: int
    images: int
    dropout: float = 0.0


# Capacity follows the data: a network much larger than its images learns them by heart, and on
# few images trains slower without better features.
PRESETS = {
    "tiny": Preset((32, 64, 96, 128), 1, 0, dropout=0.1),
    "small": Preset((32, 64, 128, 192), 1, 200),
    "base": Preset((64, 128, 192, 256, 384), 2, 5_000),
    "large": Preset((128, 128, 256, 256, 512, 512), 2, 50_000),
}


def choose_preset(name: str | None, n_images: int) -> str:
    """Return the preset asked for, or the one for so many images.

    Examples
    --------
    >>> choose_preset(None, 150), choose_preset(None, 1000), choose_preset("base", 150)
    ('tiny', 'small', 'base')
    """
    if name is None:
        return [key for key, preset in PRESETS.items() if n_images >= preset.images][-1]
    if name not in PRESETS:
        raise InputError(f"unknown network {name!r}: use one of {', '.join(PRESETS)}")
    return name


def levels_of(size: int) -> int:
    """Return how many resolutions a network for images of that size has.

    The coarsest map is 8 pixels wide or, of a size that cannot be halved so often, wider.

    Examples
    --------
    >>> levels_of(64), levels_of(128), levels_of(96), levels_of(256)
    (4, 5, 4, 6)
    """
    levels = 1
    while size % 2 == 0 and size // 2 >= _SMALLEST_MAP:
        size, levels = size // 2, levels + 1
    return levels


def build(preset: Preset, size: int) -> Any:
    """Return an untrained U-Net for RGB images of ``size`` pixels.

    Returns
    -------
    diffusers.UNet2DModel
        With random weights from PyTorch's generator; predicts the noise.

    Raises
    ------
    InputError
        If the size cannot be halved at least twice.
    """
    from diffusers import UNet2DModel

    levels = levels_of(size)
    if levels < 3:
        raise InputError(
            f"a network for images of {size} pixels has no room for its levels: give a "
            "--size that is a multiple of 4 and at least 32"
        )
    widths = [preset.widths[min(i, len(preset.widths) - 1)] for i in range(levels)]
    attention = [2**i >= _ATTENTION_FROM for i in range(levels)]
    unet = UNet2DModel(
        sample_size=size,
        block_out_channels=widths,
        layers_per_block=preset.res_blocks,
        down_block_types=["AttnDownBlock2D" if a else "DownBlock2D" for a in attention],
        up_block_types=["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)],
        attention_head_dim=32,
        resnet_time_scale_shift="scale_shift",
        dropout=preset.dropout,
    )
    _begin_as_identity(unet)
    return unet


@torch.no_grad()
def _begin_as_identity(unet: Any) -> None:
    """Set to zero the last layer of every residual branch, and of the network.

    Each block then begins as its skip connection, as in guided-diffusion (``zero_module``).
    """
    for name, module in unet.named_modules():
        if name == "conv_out" or name.endswith((".conv2", ".to_out.0")):
            for parameter in module.parameters():
                parameter.zero_()
