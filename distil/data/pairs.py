"""Batches of examples: which are seen when, each a pure function of (seed, position)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from statistics import median

import numpy as np
import torch
from torch import Tensor

from ...extract.images.bounded_cache import BoundedCache
from ...extract.images.reading import UnreadableImage
from ...store.errors import InputError
from .augmentation import Augmentation, vary
from .examples import Example, Loaded

__all__ = ["Batch", "TrainingPairs", "crop_of"]

_ORDER, _VARIED = 0, 1  # streams of randomness
_CELL = 32  # sides of what a network is trained on are multiples of it


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Parameters
    ----------
    images : tensor of shape (B, 3, h, w), float32, in [0, 1]
    targets : tensor of shape (B, C, h, w), float32
        Class probabilities.
    weights : tensor of shape (B, h, w), float32
        How much each pixel counts.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor


def crop_of(examples: Sequence[Example]) -> tuple[int, int]:
    """Return height and width of what is cut of each example: as the middle one's, or near it.

    Sides are multiples of 32, at least one of them.
    """
    sizes = [example.geometry.content(example.tile) for example in examples]
    height, width = (median(size[axis] for size in sizes) for axis in (0, 1))
    return (_CELL * max(1, round(height / _CELL)), _CELL * max(1, round(width / _CELL)))


class TrainingPairs:
    """Examples decoded, varied and cut by several threads.

    Those of the first list are seen in an order of their own, epoch after epoch, and so are those
    of the second; each position belongs to one of the two.

    Parameters
    ----------
    first, second : sequence of Example
        Such as unlabelled and labelled images.
    share : float
        Of positions that belong to the second list, in [0, 1]; if a list is empty, the other has
        all.
    crop : tuple of int
        Height and width of what is seen of each.
    augmentation : Augmentation
    n_classes : int
    seed : int
    cache_bytes : int
        Examples are kept in memory up to this size.

    Raises
    ------
    InputError
        If there is no example.

    Attributes
    ----------
    lost : dict
        Why images could not be read when their turn came, by their names; others stood in.
    """

    def __init__(
        self,
        first: Sequence[Example],
        second: Sequence[Example],
        share: float,
        crop: tuple[int, int],
        augmentation: Augmentation,
        n_classes: int,
        seed: int,
        cache_bytes: int,
    ) -> None:
        if not first and not second:
            raise InputError("there is no image to learn from")
        self._lists = (list(first), list(second))
        self._share = 1.0 if not first else 0.0 if not second else share
        self._crop, self._augmentation, self._n_classes = crop, augmentation, n_classes
        self._seed = seed
        self._kept = BoundedCache[tuple[int, int], Loaded](cache_bytes, attrgetter("n_bytes"))
        self.lost: dict[str, str] = {}

    def batch(self, start: int, count: int, pool: ThreadPoolExecutor | None = None) -> Batch:
        """Return the examples at positions ``start`` to ``start + count`` of the endless sequence.

        Raises
        ------
        UnreadableImage
            If none can be read any more.
        """
        places = range(start, start + count)
        seen = map(self._sample, places) if pool is None else pool.map(self._sample, places)
        images, targets, weights = (torch.stack(part) for part in zip(*seen, strict=True))
        return Batch(images, targets, weights)

    def number_at(self, place: int) -> tuple[int, int]:
        """Return which list has a position, and which of its examples stands there."""
        seconds = int(self._share * (place + 1))  # positions of the second list up to here
        if seconds > int(self._share * place):
            return 1, self._in_order(1, seconds - 1)
        return 0, self._in_order(0, place - seconds)

    def _in_order(self, which: int, place: int) -> int:
        count = len(self._lists[which])
        epoch, within = divmod(place, count)
        return int(_order(self._seed, which, epoch, count)[within])

    def _sample(self, place: int) -> tuple[Tensor, Tensor, Tensor]:
        loaded = self._seen_at(place)
        rng = np.random.default_rng((self._seed, _VARIED, place))
        return vary(loaded, self._crop, self._augmentation, self._n_classes, rng)

    def _seen_at(self, place: int) -> Loaded:
        """Return the example at a position; if it is lost, the next that is not."""
        for later in range(2 * sum(map(len, self._lists))):
            which, number = self.number_at(place + later)
            try:
                return self._loaded(which, number)
            except UnreadableImage as error:
                self.lost[self._lists[which][number].image.name] = str(error)
        raise UnreadableImage(
            f"none of the images can be read any more. The first error: "
            f"{next(iter(self.lost.values()))}"
        )

    def _loaded(self, which: int, number: int) -> Loaded:
        return self._kept.get((which, number), self._lists[which][number].load)


@lru_cache(maxsize=8)
def _order(seed: int, which: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, _ORDER, which, epoch)).permutation(count)
