"""Bitmaps that lie packed in memory: a file may hold hundreds, of which one is drawn at a time."""

import zlib

import numpy as np
from numpy.typing import NDArray

from .model import Bitmap

__all__ = ["packed"]

_SMALL = 4096
"""Pixels that are not worth packing."""


class _Packed(Bitmap):
    """A bitmap that is unpacked whenever its pixels are asked for.

    Parameters
    ----------
    bitmap : Bitmap
    """

    _bits: bytes
    _shape: tuple[int, ...]

    def __init__(self, bitmap: Bitmap) -> None:
        bits = zlib.compress(np.packbits(bitmap.pixels).tobytes(), 1)
        values = {"top": bitmap.top, "left": bitmap.left, "_shape": bitmap.pixels.shape}
        for name, value in (values | {"_bits": bits}).items():
            object.__setattr__(self, name, value)

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """The pixels, anew each time."""
        bits = np.frombuffer(zlib.decompress(self._bits), np.uint8)
        height, width = self._shape
        return np.unpackbits(bits, count=height * width).view(np.bool_).reshape(height, width)


def packed(bitmap: Bitmap) -> Bitmap:
    """Return the same bitmap, packed unless it is small.

    Examples
    --------
    >>> whole = Bitmap(np.eye(100, dtype=bool), 3, 4)
    >>> np.array_equal(packed(whole).pixels, whole.pixels), packed(whole).left
    (True, 4)
    """
    return _Packed(bitmap) if bitmap.pixels.size > _SMALL else bitmap
