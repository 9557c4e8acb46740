"""Arrays with a plane for each class: one-hot or boolean, (H, W, C) or (C, H, W)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["flattened"]


def flattened(
    array: NDArray[Any],
) -> tuple[NDArray[np.uint16] | None, NDArray[np.bool_] | None]:
    """Return the class of each pixel of a one-hot array.

    Parameters
    ----------
    array : array of shape (H, W, C) or (C, H, W)
        Which axis the classes are is told by the values: no pixel marks two of them. If both may
        be, it is the one by which each pixel marks one, else the shorter one.

    Returns
    -------
    ids : array of shape (H, W), uint16, or None
        None if the array is not one-hot.
    clear : array of shape (H, W), bool, or None
        Pixels that mark no class; None if there are none.

    Examples
    --------
    >>> flattened(np.array([[[1, 0, 0], [0, 0, 1]]]))[0].tolist()
    [[0, 2]]
    """
    if array.dtype != np.bool_ and not ((array == 0) | (array == 1)).all():
        return None, None
    found: tuple[int, NDArray[np.bool_]] | None = None
    for axis in sorted((0, 2), key=lambda axis: (array.shape[axis], -axis)):
        marks = np.count_nonzero(array, axis=axis)
        if marks.max() <= 1 and array.shape[axis] <= 65535 and (found is None or marks.all()):
            found = axis, marks == 0
        if found is not None and not found[1].any():
            break
    if found is None:
        return None, None
    axis, clear = found
    ids = array.argmax(axis=axis).astype(np.uint16)
    return ids, clear if clear.any() else None
