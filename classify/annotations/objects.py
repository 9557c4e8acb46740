"""The objects of a mask, pixel by pixel: for formats that take a bitmap for each."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .model import Bitmap

__all__ = ["objects"]


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
    frames = ndimage.find_objects(mask.astype(np.int32) + 1)
    for k in dict.fromkeys(ids):
        frame = frames[k] if 0 <= k < len(frames) else None
        if frame is None:
            continue
        numbers, _ = ndimage.label(mask[frame] == k)
        for n, (rows, columns) in enumerate(ndimage.find_objects(numbers), 1):
            top, left = frame[0].start + rows.start, frame[1].start + columns.start
            yield k, Bitmap(numbers[rows, columns] == n, top, left)
