"""Label maps that number objects, one after the other, instead of naming classes."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...store.errors import InputError
from .label_maps import read_label_map
from .survey import LabelMapStats, LabelSurvey

__all__ = ["check_objects"]

_FEWEST_MAPS, _FEWEST_IDS = 3, 8
_FULL = 0.95  # numbers from 1 on, or in a row, hardly one left out
_ALONE = 0.9  # of the ids stand in one map only
_WHOLE = 0.9  # of the ids are one connected piece, but for crumbs
_PIECE = 0.95
_READ = 8
"""So many maps are read again, to see whether an id is one piece."""


def check_objects(survey: LabelSurvey) -> None:
    """Refuse label maps that look like numbers of objects.

    They do if each map counts from 1, and not all to the same number, or if each has numbers of its
    own, in a row; and if nearly every id is one connected piece of its map. The background is 0 or
    the ignore label.

    Raises
    ------
    InputError
        Naming the map with most objects.
    """
    maps = [(seen, np.array([k for k in seen.pixels if k > 0])) for seen in survey.maps]
    maps = [(seen, ids) for seen, ids in maps if ids.size]
    found = [ids for _, ids in maps]
    if len(maps) < _FEWEST_MAPS or not (_count_from_one(found) or _own_numbers(found)):
        return
    maps.sort(key=lambda pair: -pair[1].size)
    some = maps[:: -(-len(maps) // _READ)]
    whole, every = np.sum([_pieces(seen, ids) for seen, ids in some], axis=0)
    if whole < _WHOLE * every:
        return
    most, ids = maps[0]
    raise InputError(
        f"{survey.where} look like numbers of objects, not classes: '{most.path.name}' has "
        f"{_in_words(ids)}, and other maps have other ids. Give all "
        "objects of a class the id of that class. If these are the right class ids, name the "
        "classes in classes.txt"
    )


def _in_words(ids: NDArray[np.integer]) -> str:
    if ids.size == 1:
        return f"the id {ids[0]}, one connected piece"
    return f"{ids.size} ids, {ids[0]} to {ids[-1]}, each one connected piece"


def _count_from_one(found: list[NDArray[np.integer]]) -> bool:
    highest = [int(ids[-1]) for ids in found]
    objects = sum(ids.size for ids in found)
    varied = len(set(highest)) >= _FEWEST_MAPS and max(highest) >= _FEWEST_IDS
    return varied and objects >= _FULL * sum(highest)


def _own_numbers(found: list[NDArray[np.integer]]) -> bool:
    ids, maps = np.unique(np.concatenate(found), return_counts=True)
    objects = sum(mine.size for mine in found)
    spans = sum(int(mine[-1] - mine[0]) + 1 for mine in found)
    alone = int((maps == 1).sum()) >= _ALONE * ids.size
    return ids.size >= _FEWEST_IDS and alone and objects >= _FULL * spans


def _pieces(seen: LabelMapStats, ids: NDArray[np.integer]) -> tuple[int, int]:
    """Return how many of the ids of a map are one piece, and how many there are."""
    label, whole = read_label_map(seen.path), 0
    places = ndimage.find_objects(np.where(np.isin(label, ids), label, 0).astype(np.int64))
    for k in ids:
        mine = label[places[int(k) - 1]] == k
        parts, n = ndimage.label(mine, np.ones((3, 3)))
        largest = np.bincount(parts.ravel())[1:].max() if n else 0
        whole += int(largest >= _PIECE * mine.sum())
    return whole, int(ids.size)
