"""The objects of a mask, pixel by pixel: for formats that take a bitmap for each."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .model import Bitmap

__all__ = ["frames", "objects"]


def frames(
    mask: NDArray[np.unsignedinteger], ids: Iterable[int]
) -> Mapping[int, tuple[slice, slice]]:
    """Return the rows and columns that each class occupies; a class that does not occur has none.

    Parameters
    ----------
    mask : array of shape (H, W), unsigned integer
        Class ids.
    ids : iterable of int
        The classes whose frames are wanted.

    Examples
    --------
    >>> frames(np.uint8([[1, 0, 1]]), [1, 7])
    {1: (slice(0, 1, None), slice(0, 3, None))}
    """
    found = ndimage.find_objects(mask.astype(np.int32) + 1)
    within = {k: found[k] for k in dict.fromkeys(ids) if 0 <= k < len(found)}
    return {k: frame for k, frame in within.items() if frame is not None}


def objects(mask: NDArray[np.unsignedinteger], ids: Iterable[int]) -> Iterator[tuple[int, Bitmap]]:
    """Yield each object of a mask: pixels of one class that are connected through their sides.

    Parameters
    ----------
    mask : array of shape (H, W), unsigned integer
        Class ids.
    ids : iterable of int
        The classes whose objects are wanted.

    Yields
    ------
    id : int
        Of the class.
    bitmap : Bitmap
        Cut to the object's frame.

    Examples
    --------
    >>> [(k, bitmap.left) for k, bitmap in objects(np.uint8([[1, 0, 1]]), [1])]
    [(1, 0), (1, 2)]
    """
    for k, frame in frames(mask, ids).items():
        numbers, _ = ndimage.label(mask[frame] == k)
        for n, (rows, columns) in enumerate(ndimage.find_objects(numbers), 1):
            top, left = frame[0].start + rows.start, frame[1].start + columns.start
            yield k, Bitmap(numbers[rows, columns] == n, top, left)
