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
        Of which axis the classes are is told by the values: no pixel marks two of them. If both
        axes may be, the shorter one is.

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
    axes = sorted((0, 2), key=lambda axis: (array.shape[axis], -axis))
    for axis in axes:
        marks = np.count_nonzero(array, axis=axis)
        if marks.max() > 1 or array.shape[axis] > 65535:
            continue
        ids = array.argmax(axis=axis).astype(np.uint16)
        return ids, None if marks.all() else marks == 0
    return None, None
