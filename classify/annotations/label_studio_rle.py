"""Run lengths as Label Studio writes brush strokes: bits of the format "rle-pack" of thi.ng.

The bits: 32 for the number of values, 5 for the bits of a value less one, four times 4 for the bits
of a length less one. Then runs until all values are there: 1 bit whether one value repeats, 2 bits
which of the four sizes the length has, the length less one, and the value, or, if it does not
repeat, as many values as the length says. Values are the image's red, green, blue and alpha, one
byte each, row by row; where alpha is not 0 the brush has been.

Specification: https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack#encoding-format.
"""

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from .limits import checked_size
from .model import Bitmap

__all__ = ["bitmap_of_brush", "brush_of_mask"]

_SIZES = (3, 4, 8, 16)
_DAMAGED = "its brush is damaged: the run lengths end too early or give too many pixels"


class _Bits:
    """Reads whole numbers from a text of bits, the highest bit of each first."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, n: int) -> int:
        """Return the number of the next n bits, 32 at most."""
        start, self.at = self.at, self.at + n
        last = (self.at + 7) // 8
        if last > len(self._data):
            raise InputError(_DAMAGED)
        whole = int.from_bytes(self._data[start // 8 : last], "big")
        return (whole >> (8 * last - self.at)) & ((1 << n) - 1)

    def take_bytes(self, n: int) -> NDArray[np.uint8]:
        """Return the next n numbers of 8 bits."""
        start, self.at = self.at, self.at + 8 * n
        if (self.at + 7) // 8 > len(self._data):
            raise InputError(_DAMAGED)
        some = np.frombuffer(self._data, np.uint8)[start // 8 : (self.at + 7) // 8]
        bits = np.unpackbits(some)[start % 8 :][: 8 * n]
        return np.packbits(bits)


def bitmap_of_brush(rle: object, height: object, width: object) -> Bitmap:
    """Return the pixels of a brush, cut to their frame; `brush_of_mask` is the inverse.

    Parameters
    ----------
    rle : list of int
        Bytes, as the file gives them.
    height, width : int
        Of the image, as the file states them.

    Raises
    ------
    InputError
        If they are not the image's pixels.
    """
    h, w = checked_size(height, width)
    try:
        if not isinstance(rle, list):
            raise TypeError
        bits = _Bits(bytes(rle))
    except (TypeError, ValueError):
        raise InputError('its "rle" is no list of whole numbers from 0 to 255') from None
    n, word = bits.take(32), bits.take(5) + 1
    if n != 4 * h * w or word != 8:
        raise InputError(
            f"its brush has {n} values of {word} bits: expected {4 * h * w} of 8 bits, four for "
            f"each pixel of an image of {w}×{h}"
        )
    alpha = _values(bits, n)[3::4].reshape(h, w) > 0
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return Bitmap(np.zeros((0, 0), np.bool_))
    top, left = int(rows[0]), int(columns[0])
    return Bitmap(alpha[top : rows[-1] + 1, left : columns[-1] + 1].copy(), top, left)


def _values(bits: _Bits, n: int) -> NDArray[np.uint8]:
    sizes = [bits.take(4) + 1 for _ in range(4)]
    values, at = np.zeros(n, np.uint8), 0
    while at < n:
        repeats = bits.take(1)
        stop = at + bits.take(sizes[bits.take(2)]) + 1
        if stop > n:
            raise InputError(_DAMAGED)
        if repeats:
            values[at:stop] = bits.take(8)
        else:
            values[at:stop] = bits.take_bytes(stop - at)
        at = stop
    return values


def brush_of_mask(mask: NDArray[np.bool_]) -> list[int]:
    """Return the bytes of a brush that has been where a mask is true.

    Parameters
    ----------
    mask : array of shape (H, W), bool

    Examples
    --------
    >>> bitmap_of_brush(brush_of_mask(np.array([[False, True]])), 1, 2)
    Bitmap(pixels=array([[ True]]), top=0, left=1)
    """
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    lengths, inside = 4 * np.diff(edges), bool(flat[0])
    bits = [f"{4 * flat.size:032b}{7:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for length in lengths.tolist():
        value = "11111111" if inside else "00000000"
        while length:
            piece = min(length, 2**16)
            k = next(k for k, size in enumerate(_SIZES) if piece <= 2**size)
            bits.append(f"1{k:02b}{piece - 1:0{_SIZES[k]}b}{value}")
            length -= piece
        inside = not inside
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
