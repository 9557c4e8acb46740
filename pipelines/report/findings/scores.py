"""What all held-out images say together: scores, confusions, how uncertainty goes with errors.

Images are added one by one; of each only counts are kept.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ....classify.evaluation.intervals import Interval, bootstrap_class_iou, bootstrap_mean_iou
from ....classify.evaluation.metrics import Confusion, iou_or_nan
from .held_out import HeldOut

__all__ = ["ImageScore", "Scores", "UncertaintyGroup", "score_images"]

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
    counts: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
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
        self.counts.append(confusion.counts)
        self.images.append(
            ImageScore(seen.stem, confusion.mean_iou(), confusion.pixel_accuracy(), seen.score)
        )
        if seen.uncertainty is not None:
            known = seen.label != self.ignore
            wrong = (seen.label != seen.mask)[known]
            steps = self.step_of(seen.uncertainty[known])
            for row, which in enumerate((~wrong, wrong)):
                self._fine[row] += np.bincount(steps[which], minlength=_FINE)

    def step_of(self, uncertainty: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return in which step of uncertainty pixels are, 0 to `_FINE` - 1."""
        steps = (uncertainty * (_FINE / self._highest)).astype(np.int64)
        return np.minimum(steps, _FINE - 1)

    @property
    def confusion(self) -> Confusion:
        """All images together."""
        return Confusion.of(np.sum(self.counts, axis=0), self.ignore)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of the pixels of each class (rows), how many the masks give each class; 0 to 1."""
        counts = self.confusion.counts[:-1, :-1].astype(np.float64)
        found = iou_or_nan(counts, np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape))
        return np.nan_to_num(found)

    @property
    def images_with(self) -> NDArray[np.int64]:
        """In how many label maps each class occurs, (C,)."""
        return np.sum([counts[:-1].sum(axis=1) > 0 for counts in self.counts], axis=0)

    def interval(self, seed: int) -> Interval:
        """Return the interval of the mIoU that `dseg fit` gives with this seed."""
        return bootstrap_mean_iou(np.stack(self.counts), self.ignore, seed=seed)

    def class_intervals(self, seed: int) -> list[Interval | None]:
        """Return the interval of each class's IoU."""
        return bootstrap_class_iou(np.stack(self.counts), self.ignore, seed=seed)

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


def score_images(
    images: Iterable[HeldOut], names: Sequence[str], ignore: int, members: int
) -> Scores:
    """Return the scores of held-out images."""
    scores = Scores(names, ignore, members)
    for seen in images:
        scores.add(seen)
    return scores
