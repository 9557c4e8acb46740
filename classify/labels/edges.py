"""Detect label maps whose borders were softened.

Anti-aliased drawing, resizing with interpolation and JPEG create values between two ids along their
border, which are then read as ids of their own. Two features tell such maps from real ones:

- Steps: pixels whose id lies between those of their two neighbours. At a sharp border the id
  changes at once; a thin third class at the border has an id outside the two as often as between
  them. At a softened border, most pixels in between have ids in between.
- Crumbs: ids of which hardly any pixel is surrounded by its own id, and that touch several other
  ids. A thin class that somebody drew touches one or two others.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_IDS", "Edges"]

N_IDS = 1 << 16
"""Ids below 0 or from here on are never classes; they are not counted."""

_MAX_LINES = 96
"""Lines of a map that are examined at most, evenly spaced, with the lines next to them."""

# Real label maps, each alone, at full and half size: steps at most .06 of the crossings. Shrunk to
# 30 pixels a side they reach .15; interpolated ones begin at .27. Both by nearest neighbour.
_STEPS, _STEPS_OF_THIN, _FEWEST_STEPS = 0.22, 0.45, 50
_OF_ONE_ID = 0.6  # else the outline that someone drew between classes of lower and of higher ids
_CRUMBS, _CRUMBS_INSIDE, _CRUMBS_MIXED = 12, 0.02, 0.4


@dataclass(frozen=True)
class Edges:
    """Statistics of the borders of one label map, or summed over several.

    Parameters
    ----------
    crossings : float
        Pairs of neighbouring pixels, horizontal or vertical, that differ.
    thin : int
        Pixels that differ from both neighbours along an axis.
    counts : array of shape (4, n), int64
        By id: its pixels; those with a neighbour of another id; those whose neighbours have two or
        more other ids; thin ones with an id between those of their two neighbours.
    """

    crossings: float
    thin: int
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Self:
        """Return the statistics of no map, for sums."""
        return cls(0.0, 0, np.zeros((4, 1), np.int64))

    @classmethod
    def of(cls, label: NDArray[np.integer]) -> Self:
        """Compute the statistics of one label map, (H, W)."""
        height, width = label.shape
        y, x = np.arange(0, height, -(-height // _MAX_LINES)), np.arange(width)
        centre = label[y]
        left, right = centre[:, np.maximum(x - 1, 0)], centre[:, np.minimum(x + 1, width - 1)]
        up, down = label[np.maximum(y - 1, 0)], label[np.minimum(y + 1, height - 1)]
        sides = (left, right, up, down)
        differs = [side != centre for side in sides]
        edge_pixels = np.flatnonzero(differs[0] | differs[1] | differs[2] | differs[3])
        neighbourhood = np.stack([side.ravel()[edge_pixels] for side in (centre, *sides)])  # (5, n)
        differing = int(np.count_nonzero(neighbourhood[1:] != neighbourhood[0]))
        return cls(
            differing / 2,  # each pair is counted from both its pixels
            sum(int(np.count_nonzero(differs[k] & differs[k + 1])) for k in (0, 2)),
            _table(
                _histogram(centre.ravel()),
                _histogram(neighbourhood[0]),
                *_mixed_and_between(neighbourhood),
            ),
        )

    def __add__(self, other: Self) -> Self:
        """Return the sum over both."""
        counts = _table(*self.counts, other=other.counts)
        return type(self)(self.crossings + other.crossings, self.thin + other.thin, counts)

    @property
    def steps(self) -> int:
        """Thin pixels between the values of their two neighbours."""
        return int(self.counts[3].sum())

    @property
    def softened(self) -> bool:
        """Whether the borders look softened."""
        return self._has_steps() or self._has_crumbs()

    def _has_steps(self) -> bool:
        n = self.steps
        return (
            n >= _FEWEST_STEPS
            and n >= _STEPS * self.crossings
            and n >= _STEPS_OF_THIN * self.thin
            and int(self.counts[3].max()) <= _OF_ONE_ID * n
        )

    def _has_crumbs(self) -> bool:
        pixels, edge_pixels, mixed, _ = self.counts
        crumbs = (pixels > 0) & (pixels - edge_pixels <= _CRUMBS_INSIDE * pixels)
        n = int(crumbs.sum())
        most = n >= _CRUMBS and 2 * n >= int((pixels > 0).sum())
        return most and int(mixed[crumbs].sum()) >= _CRUMBS_MIXED * int(pixels[crumbs].sum())


def _mixed_and_between(
    neighbourhood: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count, by id, pixels next to two or more other ids, and those between their neighbours.

    Parameters
    ----------
    neighbourhood : array of shape (5, n)
        Pixels at edges, then their left, right, upper and lower neighbours.
    """
    centre, left, right, up, down = neighbourhood
    lowest, highest = neighbourhood.min(axis=0), neighbourhood.max(axis=0)
    mixed = centre[((neighbourhood != lowest) & (neighbourhood != highest)).any(axis=0)]
    steps = []
    for before, after in ((left, right), (up, down)):
        rises, falls = (before < centre) & (centre < after), (before > centre) & (centre > after)
        steps.append(centre[rises | falls])
    return _histogram(mixed), _histogram(np.concatenate(steps))


def _histogram(ids: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count each id from 0 to `N_IDS`; others are left out."""
    if ids.dtype not in (np.uint8, np.uint16):
        ids = ids[(ids >= 0) & (ids < N_IDS)].astype(np.uint16)
    return np.bincount(ids)


def _table(*rows: NDArray[np.int64], other: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Stack counts of different lengths, and add other ones."""
    n = max(1, *map(len, rows), 0 if other is None else other.shape[1])
    table = np.zeros((len(rows), n), np.int64)
    for k, row in enumerate(rows):
        table[k, : len(row)] = row
    if other is not None:
        table[:, : other.shape[1]] += other
    return table
