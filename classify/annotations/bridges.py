"""Several closed lines as one, for what takes a single outline."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bridged"]


def bridged(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return one closed line that encloses, by the even-odd rule, what all rings enclose.

    From the start of the first ring a line leads to each other ring and back. The two ways are the
    same line, so they enclose nothing: a pixel is inside as it is with the rings apart.

    Parameters
    ----------
    rings : sequence of arrays of shape (n, 2), float64
        At least one; none is empty.

    Returns
    -------
    array of shape (n, 2), float64

    Examples
    --------
    >>> square = np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]])
    >>> len(bridged([square])), len(bridged([square, square / 9 + 3]))
    (4, 11)
    """
    first, *others = rings
    if not others:
        return first
    start = first[:1]
    parts = [first, start]
    for ring in others:
        parts += [ring, ring[:1], start]
    return np.concatenate(parts)
