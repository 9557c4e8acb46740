"""Sizes: what any student does with an image of any size.

No step depends on the pixels, and sizes enter only through arithmetic on shapes, so that a network
can be exported with a height and width that may change.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["enlarged", "normalised", "padded"]


def padded(x: Tensor, stride: int) -> Tensor:
    """Return images whose sides are multiples of a stride: edge pixels are repeated.

    Below and to the right only, so that pixel (y, x) stays where it is.

    Parameters
    ----------
    x : tensor of shape (B, C, H, W)
    stride : int
    """
    below, right = -x.shape[2] % stride, -x.shape[3] % stride
    return nn.functional.pad(x, (0, right, 0, below), mode="replicate")


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Return maps at the height and width of others, interpolated bilinearly."""
    size = (like.shape[2], like.shape[3])
    resized: Tensor = nn.functional.interpolate(x, size, mode="bilinear", align_corners=False)
    return resized


def normalised(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return ``(x - mean) / std``, channel by channel.

    Parameters
    ----------
    x : tensor of shape (B, C, H, W)
    mean, std : sequence of C floats
    """
    shift, scale = (torch.tensor(values, dtype=x.dtype, device=x.device) for values in (mean, std))
    return (x - shift[:, None, None]) / scale[:, None, None]
