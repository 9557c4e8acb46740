"""The paths of ImageJ's composite ROIs: a list of numbers, as Java's ``PathIterator`` has them."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError

__all__ = ["path_of_rings", "rings_of_path"]

_MOVE, _LINE, _QUADRATIC, _CUBIC, _CLOSE = range(5)
_NUMBERS = {_MOVE: 2, _LINE: 2, _QUADRATIC: 4, _CUBIC: 6, _CLOSE: 0}
_STEPS = 16  # of a curve


def rings_of_path(path: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the closed lines of a path; curves become lines of sixteen parts.

    Parameters
    ----------
    path : array of shape (n,), float64
        Numbers: the kind of each part, then its coordinates.

    Raises
    ------
    InputError
        If it is no such path.
    """
    numbers, at = path.tolist(), 0
    rings: list[list[tuple[float, float]]] = []
    while at < len(numbers):
        kind = int(numbers[at]) if numbers[at] in _NUMBERS else -1
        points = numbers[at + 1 : at + 1 + _NUMBERS.get(kind, 0)]
        if kind == -1 or len(points) < _NUMBERS[kind] or (kind != _MOVE and not rings):
            raise InputError("the path of a ROI is damaged")
        at += 1 + len(points)
        pairs = list(zip(points[::2], points[1::2], strict=True))
        if kind == _MOVE:
            rings.append(pairs)
        elif kind == _LINE:
            rings[-1] += pairs
        elif kind != _CLOSE:
            rings[-1] += _curve([rings[-1][-1], *pairs])
    return [np.array(ring, np.float64) for ring in rings]


def path_of_rings(rings: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return the path of closed lines; `rings_of_path` is the inverse.

    Examples
    --------
    >>> path_of_rings([np.array([[0.0, 0], [4, 0], [4, 4]])])
    array([0., 0., 0., 1., 4., 0., 1., 4., 4., 4.], dtype=float32)
    """
    numbers: list[float] = []
    for ring in rings:
        for k, (x, y) in enumerate(ring.tolist()):
            numbers += [_LINE if k else _MOVE, x, y]
        numbers.append(_CLOSE)
    return np.array(numbers, np.float32)


def _curve(control: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points of a Bézier curve after its start, by de Casteljau's construction."""
    t = np.linspace(0, 1, _STEPS + 1)[1:, None]
    points = [np.array(pair) for pair in control]
    while len(points) > 1:
        points = [a + t * (b - a) for a, b in pairwise(points)]
    return [(float(x), float(y)) for x, y in points[0]]
