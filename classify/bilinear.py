"""Bilinear interpolation of tables with a line of values a pixel, band by band.

Which pixels are read, and by which weights, is `store.pixels.taps`'s to say.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.pixels import taps

__all__ = ["mix", "pixel_grid", "resize_bands"]


def pixel_grid(y0: int, y1: int, width: int) -> NDArray[np.int64]:
    """Return row and column of all pixels of lines y0 to y1, line by line.

    Returns
    -------
    array of shape ((y1 - y0) · width, 2), int64

    Examples
    --------
    >>> pixel_grid(3, 4, 2).tolist()
    [[3, 0], [3, 1]]
    """
    y, x = np.divmod(np.arange(y0 * width, y1 * width), width)
    return np.stack([y, x], axis=1)


def mix(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Return weighted sums of a table's lines.

    Parameters
    ----------
    table : tensor of shape (cells, K), float32
    index : integer tensor of shape (n, taps)
    weight : tensor of shape (n, taps), float32

    Returns
    -------
    tensor of shape (n, K), float32
    """
    if table.device.type == "mps":  # has no embedding_bag before PyTorch 2.10
        return _mix_tap_by_tap(table, index, weight)
    return torch.nn.functional.embedding_bag(index, table, per_sample_weights=weight, mode="sum")


def _mix_tap_by_tap(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    mixed = torch.zeros(len(index), table.shape[1], device=table.device)
    for tap in range(index.shape[1]):
        mixed.addcmul_(table[index[:, tap]], weight[:, tap, None])
    return mixed


def resize_bands(
    bands: Iterable[Tensor], source: tuple[int, int], target: tuple[int, int], lines: int
) -> Iterator[Tensor]:
    """Resize an image of which only a band is held at a time, as torch's bilinear `interpolate`.

    Parameters
    ----------
    bands : iterable of tensors (any number of lines, w, K), float32
        The source's lines, from the top. It is read to its end.
    source, target : tuple of int
        Height and width of the source and of the result.
    lines : int
        Height of the bands that come out; the last may be lower. Where nothing is to be resized,
        the source's bands come out as they are.

    Yields
    ------
    tensor of shape (lines, W, K), float32
    """
    bands = iter(bands)
    if source == target:
        yield from bands
        return
    held, top = next(bands).clone(), 0  # the source's lines from `top` on
    for y in range(0, target[0], lines):
        height = min(lines, target[0] - y)
        index, weight = taps(pixel_grid(y, y + height, target[1]), target, source)
        first, last = int(index[0, 0]) // source[1], int(index[-1, 3]) // source[1]
        while top + len(held) <= last:
            done = min(max(first - top, 0), len(held))  # lines that nobody will read again
            held, top = torch.cat([held[done:], next(bands)]), top + done
        index -= top * source[1]
        cells, shares = (torch.from_numpy(part).to(held.device) for part in (index, weight))
        yield mix(held.flatten(0, 1), cells, shares).view(height, target[1], -1)
    deque(bands, maxlen=0)
