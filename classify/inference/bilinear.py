"""Bilinear resizing of an image of scores, band by band.

Cells and weights come from `store.read.interpolation.taps`.
"""

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ...store.read.interpolation import mix, rectangle, taps

__all__ = ["resize_bands"]


def resize_bands(
    bands: Iterable[Tensor], source: tuple[int, int], target: tuple[int, int], lines: int
) -> Iterator[Tensor]:
    """Resize as torch's bilinear `interpolate`, with only a band of lines in memory.

    Parameters
    ----------
    bands : iterable of tensors (any number of lines, w, K), float32
        The source's lines, from the top. It is read to its end.
    source, target : tuple of int
        Height and width of the source and of the result.
    lines : int
        Height of the bands that are yielded; the last may be lower. If source and target have one
        size, the source's bands are yielded unchanged.

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
        index, weight = taps(rectangle(range(y, y + height), range(target[1])), target, source)
        first, last = int(index[0, 0]) // source[1], int(index[-1, 3]) // source[1]
        while top + len(held) <= last:
            done = min(max(first - top, 0), len(held))  # lines that no later band reads
            held, top = torch.cat([held[done:], next(bands)]), top + done
        index -= top * source[1]
        cells, shares = (torch.from_numpy(part).to(held.device) for part in (index, weight))
        yield mix(held.flatten(0, 1), cells, shares).view(height, target[1], -1)
    deque(bands, maxlen=0)  # to its end: the source checks there that no tile is left over
