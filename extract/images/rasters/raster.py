"""What a file of channels and planes is: its size, the kind of its values, and some of its rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_BYTES", "Raster", "reduced"]

BLOCK_BYTES = 4 * 2**20
"""About what is read at once."""


class Raster(ABC):
    """One plane of a file, or a projection of several; nothing is held but facts.

    Attributes
    ----------
    size : tuple of int
        Height and width, pixels.
    channels : int
    dtype : numpy.dtype
        Of the values, in the byte order of the machine.
    plain_channels : bool
        Whether 3 or 4 channels are red, green, blue and perhaps alpha.
    white : int or None
        The value that is white, if the file says so: where fewer bits than those of the type are
        stored.
    nodata : float or None
        The value of pixels without a value.
    pages : int
        How many planes the file has, whatever they are.
    """

    size: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    plain_channels: bool = True
    white: int | None = None
    nodata: float | None = None
    pages: int = 1

    @property
    @abstractmethod
    def segment_rows(self) -> int:
        """Of how many rows the least part of the file is that can be decoded."""

    @abstractmethod
    def rows(self, first: int, last: int, channels: Sequence[int]) -> NDArray[Any]:
        """Return rows ``first`` to ``last - 1``: (rows, width, channels), of `dtype`.

        Raises
        ------
        Exception
            Whatever a decoder makes of damaged bytes.
        """

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first and last row of parts that cover the image, each worth one read."""
        height, width = self.size
        row_bytes = max(1, width * self.channels * self.dtype.itemsize)
        segments = max(1, BLOCK_BYTES // (row_bytes * self.segment_rows))
        step = segments * self.segment_rows
        for first in range(0, height, step):
            yield first, min(height, first + step)


def reduced(parts: Iterator[NDArray[Any]], projection: str | None) -> NDArray[Any]:
    """Return several planes as one, value by value; only two are held at a time.

    Parameters
    ----------
    parts : iterator of arrays of one shape
    projection : {"max", "mean", "min"}, optional
        Needed of more than one. A mean of whole numbers is rounded.
    """
    first = next(parts)
    if projection is None:
        return first
    if projection == "mean":
        count, total = 1, first.astype(np.float64)
        for part in parts:
            total += part
            count += 1
        mean = total / count
        whole = first.dtype.kind in "iu"
        return (np.rint(mean) if whole else mean).astype(first.dtype)
    combine = np.maximum if projection == "max" else np.minimum
    for part in parts:
        first = combine(first, part)
    return first
