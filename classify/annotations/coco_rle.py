"""Run lengths as COCO writes them: in the order of columns, from outside on, in turn.

Counts are a list of numbers, or text: each number as digits of five bits, the lowest first, one
character from "0" on each, whose sixth bit says that more follow; the last digit's highest bit is
the sign. From the fourth number on, what is written is the difference from the number two before.
"""

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from .limits import checked_size
from .model import Bitmap

__all__ = ["bitmap_of_counts", "counts_of_text", "counts_of_mask", "text_of_counts"]


def counts_of_text(text: str) -> NDArray[np.int64]:
    """Return the run lengths that compressed text says; `text_of_counts` is the inverse.

    Raises
    ------
    InputError
        If it is no such text.

    Examples
    --------
    >>> counts_of_text("062N")
    array([0, 6, 2, 4])
    """
    codes = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise InputError("its compressed run lengths are damaged")
    ends = np.flatnonzero(codes < 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 10:
        raise InputError("its compressed run lengths are damaged")
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    values -= ((codes[ends] & 16) > 0).astype(np.int64) << (5 * (ends - starts + 1))
    # From the fourth on, each is a difference: odd and even ones add up apart.
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def text_of_counts(counts: NDArray[np.integer]) -> str:
    """Return run lengths as compressed text; `counts_of_text` is the inverse.

    Examples
    --------
    >>> text_of_counts(np.array([0, 6, 2]))
    '062'
    """
    signs = bytearray()
    values = np.asarray(counts, np.int64).copy()
    values[3:] -= np.asarray(counts, np.int64)[1:-2]
    for value in values.tolist():
        more = True
        while more:
            digit = value & 31
            value >>= 5
            more = value != (-1 if digit & 16 else 0)
            signs.append(48 + digit + 32 * more)
    return signs.decode("ascii")


def bitmap_of_counts(counts: NDArray[np.int64], height: object, width: object) -> Bitmap:
    """Return the pixels that run lengths say, cut to their frame.

    Parameters
    ----------
    counts : array of shape (n,), int64
        Of pixels outside, inside, outside, … in the order of columns.
    height, width : int
        Of the image, as the file states them.

    Raises
    ------
    InputError
        If they are not the image's pixels.

    Examples
    --------
    >>> bitmap_of_counts(np.array([4, 1, 1]), 2, 3)
    Bitmap(pixels=array([[ True]]), top=0, left=2)
    """
    h, w = checked_size(height, width)
    if not len(counts) or counts.min() < 0 or counts.max() > h * w or counts.sum() != h * w:
        raise InputError(f"its run lengths are not those of an image of {w}×{h}")
    ends = np.cumsum(counts)
    starts, ends = (ends - counts)[1::2], ends[1::2]
    starts, ends = starts[starts < ends], ends[starts < ends]
    if not len(starts):
        return Bitmap(np.zeros((0, 0), np.bool_))
    left, right = int(starts[0]) // h, (int(ends[-1]) - 1) // h + 1
    changes = np.zeros((right - left) * h + 1, np.int8)
    changes[starts - left * h] += 1
    changes[ends - left * h] -= 1
    inside = np.cumsum(changes[:-1], dtype=np.int8).view(np.bool_).reshape(right - left, h)
    rows = np.flatnonzero(inside.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return Bitmap(np.ascontiguousarray(inside[:, top:bottom].T), top, left)


def counts_of_mask(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the run lengths of a mask of shape (H, W); `bitmap_of_counts` is the inverse.

    Examples
    --------
    >>> counts_of_mask(np.array([[True, False], [True, True]])).tolist()
    [0, 2, 1, 1]
    """
    flat = np.asfortranarray(mask).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], [0] if flat[0] else [], changes, [flat.size]])
    return np.diff(edges).astype(np.int64)
