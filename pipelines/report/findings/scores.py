"""What all held-out images say together: scores, confusions, how uncertainty goes with errors.

Images are added one by one; of each only counts are kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ....classify.evaluation.intervals import Interval, bootstrap_iou
from ....classify.evaluation.metrics import Confusion, overlaps
from .held_out import HeldOut

__all__ = ["FEW_IMAGES", "ImageScore", "Scores", "UncertaintyGroup"]

FEW_IMAGES = 5
"""Of a class in fewer label maps than these, scores and intervals say little."""

_FINE = 4096  # steps of uncertainty that pixels are counted by
_GROUPS = 10
_SURE = 0.75  # share of the pixels


@dataclass(frozen=True)
class ImageScore:
    """The scores of one image.

    Parameters
    ----------
    stem : str
    mean_iou, accuracy : float
        NaN of an image without a labelled pixel.
    uncertainty : float, optional
    """

    stem: str
    mean_iou: float
    accuracy: float
    uncertainty: float | None


@dataclass(frozen=True)
class UncertaintyGroup:
    """Pixels of about the same uncertainty.

    Parameters
    ----------
    start, stop : float
        Which pixels, as shares of all in the order of their uncertainty.
    low, high : float
        Their uncertainty, in nats.
    wrong : float
        The share of them that is wrong.
    errors : float
        Their share of all wrong pixels.
    """

    start: float
    stop: float
    low: float
    high: float
    wrong: float
    errors: float


@dataclass
class Scores:
    """Counts of the images that were added.

    Parameters
    ----------
    names : sequence of str
        Of the classes.
    ignore : int
        The label maps' id of pixels without a class.
    members : int
        Of the ensemble: they bound the uncertainty.
    """

    names: Sequence[str]
    ignore: int
    members: int
    images: list[ImageScore] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = Confusion(len(self.names), self.ignore)  # of all images together
        self.pairs = np.zeros((len(self.names), len(self.names)), np.int64)  # labels, masks
        self.images_with = np.zeros(len(self.names), np.int64)  # label maps with each class
        self._hits = list[NDArray[np.int64]]()
        self._unions = list[NDArray[np.int64]]()
        self._highest = math.log(max(2, min(self.members, len(self.names)))) * (1 + 1e-6)
        self._fine = np.zeros((2, _FINE), np.int64)  # right and wrong pixels

    def add(self, seen: HeldOut) -> None:
        """Count one image.

        Raises
        ------
        InputError
            If an id is no class.
        """
        confusion = Confusion(len(self.names), self.ignore)
        confusion.add(seen.mask, seen.label, seen.stem)
        self._keep(confusion)
        self.images.append(
            ImageScore(seen.stem, confusion.mean_iou(), confusion.pixel_accuracy(), seen.score)
        )
        if seen.uncertainty is not None:
            known = seen.label != self.ignore
            wrong = (seen.label != seen.mask)[known]
            steps = self.step_of(seen.uncertainty[known])
            for row, which in enumerate((~wrong, wrong)):
                self._fine[row] += np.bincount(steps[which], minlength=_FINE)

    def _keep(self, confusion: Confusion) -> None:
        """Keep what is needed of an image's counts: not the pairs of classes, which are many."""
        self.confusion.counts += confusion.counts
        labelled = confusion.counts[:-1].copy()
        if 0 <= self.ignore < len(labelled):
            labelled[self.ignore] = 0
        hits, unions = overlaps(labelled)
        if 0 <= self.ignore < len(labelled):
            unions[self.ignore] = 0
        self._hits.append(hits.copy())
        self._unions.append(unions)
        self.pairs += labelled[:, :-1]
        self.images_with += labelled.sum(axis=1) > 0

    def step_of(self, uncertainty: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return in which step of uncertainty pixels are, 0 to `_FINE` - 1."""
        steps = np.minimum(uncertainty * (_FINE / self._highest), _FINE - 1)
        whole: NDArray[np.int64] = steps.astype(np.int64)
        return whole

    def taken_for(self, label: int, mask: int) -> float:
        """Return which share of the pixels of a class the masks give another one."""
        return float(self.pairs[label, mask] / max(1, self.pairs[label].sum()))

    def intervals(self, seed: int) -> tuple[Interval, list[Interval | None]]:
        """Return the interval of the mIoU that `dseg fit` gives with this seed, and of classes."""
        return bootstrap_iou(np.stack(self._hits), np.stack(self._unions), seed=seed)

    @property
    def sure(self) -> int | None:
        """The step of uncertainty up to which the surer three quarters of the pixels are."""
        total = self._fine.sum(axis=0)
        if not total.any():
            return None
        return int(np.searchsorted(total.cumsum(), _SURE * total.sum()))

    def groups(self) -> list[UncertaintyGroup]:
        """Return the pixels in about ten groups of equal size, the surest first.

        Pixels of the same uncertainty stay together, so there may be fewer groups.
        """
        total, wrong = self._fine.sum(axis=0), self._fine[1]
        pixels, errors = int(total.sum()), int(wrong.sum())
        if not pixels:
            return []
        below = total.cumsum()
        shares = np.arange(1, _GROUPS + 1) / _GROUPS
        ends: list[int] = (np.searchsorted(below, pixels * shares) + 1).tolist()
        found, start = list[UncertaintyGroup](), 0
        for stop in dict.fromkeys(ends):
            inside = int(total[start:stop].sum())
            first = int(below[start - 1]) if start else 0
            bad, step = int(wrong[start:stop].sum()), self._highest / _FINE
            found.append(
                UncertaintyGroup(
                    first / pixels,
                    (first + inside) / pixels,
                    start * step,
                    stop * step,
                    bad / inside,
                    bad / errors if errors else 0.0,
                )
            )
            start = stop
        return found
