"""Detect label maps whose ids are numbers of objects (instances), not classes."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...store.errors import InputError
from .survey import LabelMapStats, LabelSurvey

__all__ = ["check_objects"]

_FEWEST_MAPS, _FEWEST_IDS = 3, 8
_FULL = 0.95  # of the numbers from 1 on, or of a range, are used
_ALONE = 0.9  # of the ids are in one map only
_WHOLE = 0.9  # of the ids are one connected piece, up to a few pixels
_PIECE = 0.95
_READ = 8
"""Maps that are read again, to count the connected pieces of an id."""


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
    ids_by_map = [ids for _, ids in maps]
    if len(maps) < _FEWEST_MAPS or not (_count_from_one(ids_by_map) or _own_numbers(ids_by_map)):
        return
    maps.sort(key=lambda pair: -pair[1].size)
    sampled_maps = maps[:: -(-len(maps) // _READ)]
    single_piece, n_ids = np.sum([_pieces(seen, ids) for seen, ids in sampled_maps], axis=0)
    if single_piece < _WHOLE * n_ids:
        return
    most, ids = maps[0]
    raise InputError(
        f"{survey.where} look like numbers of objects, not classes: '{most.entry.name}' has "
        f"{_in_words(ids)}, and other maps have other ids. Give all "
        "objects of a class the id of that class. If these are the right class ids, name the "
        "classes in classes.txt"
    )


def _in_words(ids: NDArray[np.integer]) -> str:
    if ids.size == 1:
        return f"the id {ids[0]}, one connected piece"
    return f"{ids.size} ids, {ids[0]} to {ids[-1]}, each one connected piece"


def _count_from_one(ids_by_map: list[NDArray[np.integer]]) -> bool:
    highest = [int(ids[-1]) for ids in ids_by_map]
    objects = sum(ids.size for ids in ids_by_map)
    varied = len(set(highest)) >= _FEWEST_MAPS and max(highest) >= _FEWEST_IDS
    return varied and objects >= _FULL * sum(highest)


def _own_numbers(ids_by_map: list[NDArray[np.integer]]) -> bool:
    ids, maps = np.unique(np.concatenate(ids_by_map), return_counts=True)
    objects = sum(own.size for own in ids_by_map)
    spans = sum(int(own[-1] - own[0]) + 1 for own in ids_by_map)
    alone = int((maps == 1).sum()) >= _ALONE * ids.size
    return ids.size >= _FEWEST_IDS and alone and objects >= _FULL * spans


def _pieces(seen: LabelMapStats, ids: NDArray[np.integer]) -> tuple[int, int]:
    """Return how many of the ids of a map are one piece, and how many there are."""
    label, single_piece = seen.entry.read(), 0
    boxes = ndimage.find_objects(np.where(np.isin(label, ids), label, 0).astype(np.int64))
    for k in ids:
        own = label[boxes[int(k) - 1]] == k
        parts, n = ndimage.label(own, np.ones((3, 3)))
        largest = np.bincount(parts.ravel())[1:].max() if n else 0
        single_piece += int(largest >= _PIECE * own.sum())
    return single_piece, int(ids.size)
