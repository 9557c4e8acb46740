"""Statistics of the label maps of a run, collected while they are read: ids, borders, palettes.

Nothing is decided here; `checks` uses them. They are of each map at its own size, before resizing
removes a class or a value.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .edges import N_IDS, Edges
from .label_entry import LabelEntry

__all__ = ["LabelSurvey", "LabelMapStats", "pixels_of"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class LabelMapStats:
    """Statistics of one label map.

    Parameters
    ----------
    entry : LabelEntry
    pixels : dict
        Number of pixels of each class id, ascending, without the ignore label.
    palette : bytes, optional
        Red, green and blue of each index, where the file has a palette.
    """

    entry: LabelEntry
    pixels: Mapping[int, int]
    palette: bytes | None


class LabelSurvey:
    """All label maps of one run.

    Parameters
    ----------
    where : str
        What messages call them, such as "the label maps in 'labels'".
    ignore : int
        The id of pixels without a class.

    Attributes
    ----------
    maps : list of LabelMapStats
    pixels : Counter
        Of each id in all maps together, the ignore label too.
    edges : Edges
        Of all maps.
    softened : list of LabelEntry
        The maps whose own borders look softened.
    softest : LabelEntry, optional
        The map with most pixels of values between those of their neighbours.
    """

    def __init__(self, where: str, ignore: int) -> None:
        self.where, self.ignore = where, ignore
        self.maps: list[LabelMapStats] = []
        self.pixels: Counter[int] = Counter()
        self.edges = Edges.empty()
        self.softened: list[LabelEntry] = []
        self.softest: LabelEntry | None = None
        self._most_steps = 0
        self._palettes: dict[bytes, bytes] = {}

    @property
    def ids(self) -> list[int]:
        """The class ids that occur, ascending."""
        return sorted(self.pixels.keys() - {self.ignore})

    @property
    def highest(self) -> int:
        """The highest class id, -1 if all pixels are ignored."""
        return max(self.ids, default=-1)

    def add(
        self,
        entry: LabelEntry,
        label: NDArray[np.integer],
        palette: bytes | None = None,
        *,
        borders: bool = True,
    ) -> LabelMapStats:
        """Add one map.

        Parameters
        ----------
        entry : LabelEntry
        label : array of shape (H, W), integer
        palette : bytes, optional
            Its own, see `LabelEntry.read_with_palette`.
        borders : bool
            Compute the statistics of its borders, too.
        """
        pixels = pixels_of(label)
        self.pixels.update(pixels)
        pixels.pop(self.ignore, None)
        if palette is not None:
            palette = self._palettes.setdefault(palette, palette)  # equal ones share one object
        seen = LabelMapStats(entry, pixels, palette)
        self.maps.append(seen)
        if borders:
            self._add_borders(entry, label)
        return seen

    def _add_borders(self, entry: LabelEntry, label: NDArray[np.integer]) -> None:
        edges = Edges.of(label)
        self.edges += edges
        if edges.softened:
            self.softened.append(entry)
        if edges.steps > self._most_steps:
            self.softest, self._most_steps = entry, edges.steps


def pixels_of(label: NDArray[np.integer]) -> dict[int, int]:
    """Return the pixels of each id of a label map, ascending."""
    flat = label.ravel()
    if label.dtype != np.uint8 and not 0 <= int(label.min()) <= int(label.max()) < N_IDS:
        ids, counts = np.unique(flat, return_counts=True)
        return dict(zip(ids.tolist(), counts.tolist(), strict=True))
    counts = np.zeros(256 if label.dtype == np.uint8 else N_IDS, np.int64)
    for start in range(0, len(flat), _CHUNK):  # `bincount` makes a copy, of eight bytes a pixel
        found = np.bincount(flat[start : start + _CHUNK])
        counts[: len(found)] += found
    ids = np.flatnonzero(counts)
    return dict(zip(ids.tolist(), counts[ids].tolist(), strict=True))
