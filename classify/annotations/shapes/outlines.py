"""Pixels to shapes: the outlines of each object of a mask, exactly along the pixels' edges.

`rasterise` gives back the mask: no corner lies at a pixel's centre, so there are no doubts.

An object is a set of pixels of one class that are connected through their sides. Its outline turns
at grid points where one or three of the four pixels around belong to it, or two that face each
other across. Along each row of the grid, every second stretch between such corners is a part of the
outline, and along each column likewise: following the one and the other in turn goes round.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .model import Polygon
from .objects import frames

__all__ = ["outlines"]


def outlines(
    mask: NDArray[np.unsignedinteger], ids: Iterable[int]
) -> Iterator[tuple[int, Polygon]]:
    """Yield the outline of each object of a mask, with its holes.

    Takes 12 bytes a pixel, and some 100 for each corner of the outlines of one class.

    Parameters
    ----------
    mask : array of shape (H, W), unsigned integer
        Class ids.
    ids : iterable of int
        The classes whose objects are wanted; one that does not occur has none.

    Yields
    ------
    id : int
        Of the class.
    polygon : Polygon
        Corners are whole numbers, from (0, 0) to (W, H). Outlines touch themselves in a corner at
        most, where two pixels face each other across it.

    Examples
    --------
    >>> [(k, ring)] = outlines(np.uint8([[0, 1], [0, 1]]), [1])
    >>> k, ring.exterior.tolist()
    (1, [[1.0, 0.0], [2.0, 0.0], [2.0, 2.0], [1.0, 2.0]])
    """
    for k, (rows, columns) in frames(mask, ids).items():
        for polygon in _polygons(mask[rows, columns] == k):
            yield k, _moved(polygon, columns.start, rows.start)


def _moved(polygon: Polygon, x: int, y: int) -> Polygon:
    move = np.array([x, y], np.float64)
    return Polygon(polygon.exterior + move, tuple(hole + move for hole in polygon.holes))


@dataclass(frozen=True)
class _Corners:
    """The corners of all outlines of a class, in the order of y, then x.

    A grid point where two pixels face each other across is two corners, one of each pixel.

    Parameters
    ----------
    x, y : array of shape (n,), int64
    along_row, along_column : list of int
        Number of the corner at the other end of each one's stretch of the row, of the column.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    along_row: list[int]
    along_column: list[int]


def _polygons(inside: NDArray[np.bool_]) -> Iterator[Polygon]:
    """Yield the outlines of the objects of one class."""
    corners = _corners(inside)
    objects, n = ndimage.label(inside)
    exteriors: dict[int, NDArray[np.float64]] = {}
    holes: list[list[NDArray[np.float64]]] = [[] for _ in range(n + 1)]
    for members in _rings(corners):
        ring = np.stack([corners.x[members], corners.y[members]], axis=1)
        x, y = (int(value) for value in ring[0])  # the leftmost of the topmost
        owner = objects[y, x] if y < inside.shape[0] and x < inside.shape[1] else 0
        # Within an outline lies the object; within that of a hole something else, the object above.
        if owner:
            exteriors[owner] = ring.astype(np.float64)
        else:
            holes[objects[y - 1, x]].append(ring.astype(np.float64))
    for owner, exterior in exteriors.items():
        yield Polygon(exterior, tuple(holes[owner]))


def _corners(inside: NDArray[np.bool_]) -> _Corners:
    padded = np.pad(inside, 1).astype(np.uint8)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    odd = upper_left ^ upper_right ^ lower_left ^ lower_right
    across = (upper_left == lower_right) & (upper_right == lower_left) & (upper_left != upper_right)
    times = odd.astype(np.uint8) + 2 * across.astype(np.uint8)
    y, x = (np.repeat(found, times[times > 0]) for found in np.nonzero(times))
    row_order = np.arange(len(x))
    # In a column, the first of two corners of a grid point goes up, the second down; in a row, the
    # first goes left, the second right. Up and left belong together where the upper left pixel is
    # inside, up and right where the upper right one is: then a column has the two in other order.
    second = np.zeros(len(x), np.bool_)
    second[1:] = (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    doubled = second.copy()
    doubled[:-1] |= second[1:]
    turned = doubled & (upper_right[y, x] == 1)
    column_order = np.lexsort((second ^ turned, y, x))
    return _Corners(x, y, _partners(row_order), _partners(column_order))


def _partners(order: NDArray[np.int64]) -> list[int]:
    """Return of each corner the one that it is joined to: the 1st to the 2nd, 3rd to 4th."""
    partner = np.empty_like(order)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    joined: list[int] = partner.tolist()
    return joined


def _rings(corners: _Corners) -> Iterator[list[int]]:
    """Yield the corners of each ring, from its first one along its row."""
    seen = bytearray(len(corners.along_row))
    start = seen.find(0)
    while start >= 0:
        ring, at = [], start
        while not seen[at]:
            beside = corners.along_row[at]
            seen[at] = seen[beside] = 1
            ring += [at, beside]
            at = corners.along_column[beside]
        yield ring
        start = seen.find(0, start)
