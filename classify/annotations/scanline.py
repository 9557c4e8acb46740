"""Which pixels a closed line encloses: those whose centres are inside, by the even-odd rule.

For each row of pixels, the line through their centres is cut by the edges of the outline. A centre
is inside if an odd number of cuts lie to its right. Edges are half open, so that of two outlines
that share an edge each pixel belongs to exactly one.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError

__all__ = ["MOST_CUTS", "Patch", "enclosed"]

Patch = tuple[int, int, NDArray[np.bool_]]
"""Top, left and pixels of a part of an image."""

MOST_CUTS = 2**28
"""Of one outline; a mask of the largest image has fewer, a hostile zigzag more."""

_CHUNK = 2**20
"""Cuts that are computed at once: some 50 MB."""


def enclosed(ring: NDArray[np.float64], size: tuple[int, int]) -> Patch | None:
    """Return the pixels that a closed line encloses, of the part of an image that it covers.

    Parameters
    ----------
    ring : array of shape (n, 2), float64
        x and y of the corners, finite; the last need not repeat the first.
    size : (height, width)
        Of the image.

    Returns
    -------
    top, left : int
    pixels : array of shape (h, w), bool
        Or None instead, if no pixel can be inside.

    Raises
    ------
    InputError
        If it cuts rows more than `MOST_CUTS` times.
    """
    edges = _edges(ring)
    rows = np.clip(np.ceil(edges[:, :, 1] - 0.5), 0, size[0]).astype(np.int64)
    crossing = rows[:, 0] < rows[:, 1]
    edges, rows = edges[crossing], rows[crossing]
    if not len(edges):
        return None
    top, bottom = int(rows[:, 0].min()), int(rows[:, 1].max())
    left = int(np.clip(np.floor(edges[:, :, 0].min()) - 1, 0, size[1]))
    right = int(np.clip(np.ceil(edges[:, :, 0].max()) + 1, 0, size[1]))
    if left >= right:
        return None
    _refuse_many(int((rows[:, 1] - rows[:, 0]).sum()))
    # At [y, k]: whether an odd number of cuts lies between the centres of pixels k-1 and k.
    changes = np.zeros((bottom - top, right - left + 1), np.uint8)
    for some, at in _cuts(edges, rows):
        columns = np.clip(np.ceil(at - 0.5), left, right).astype(np.int64) - left
        np.add.at(changes, (some - top, columns), 1)  # overflows to an even number: parity stays
    changes &= 1
    from_right = changes[:, ::-1]
    np.bitwise_xor.accumulate(from_right, axis=1, out=from_right)
    return top, left, changes[:, 1:].view(np.bool_)


def _edges(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges, (n, 2, 2): from the upper to the lower end, x and y.

    Two outlines that share an edge then compute the same cuts, whichever way they run.
    """
    edges = np.stack([ring, np.roll(ring, -1, axis=0)], axis=1)
    upward = edges[:, 0, 1] > edges[:, 1, 1]
    edges[upward] = edges[upward, ::-1]
    return edges


def _refuse_many(cuts: int) -> None:
    if cuts > MOST_CUTS:
        raise InputError(
            f"the outline of a shape cuts rows of pixels {cuts} times, {MOST_CUTS} are the most: "
            "is the file damaged?"
        )


def _cuts(
    edges: NDArray[np.float64], rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield row and x of where edges cut the lines of centres, `_CHUNK` or a few more at once."""
    counts = rows[:, 1] - rows[:, 0]
    ends = np.cumsum(counts)
    start = 0
    while start < len(edges):
        before = ends[start] - counts[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        part, count = slice(start, stop), counts[start:stop]
        which = np.repeat(np.arange(start, stop), count)
        first = np.repeat(rows[part, 0] - (ends[part] - count - before), count)
        row = np.arange(len(which)) + first
        (x0, y0), (x1, y1) = edges[which, 0].T, edges[which, 1].T
        yield row, x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        start = stop
