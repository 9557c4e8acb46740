"""How well masks agree with label maps: confusion matrix, IoU per class, mIoU.

With I and U the intersection and union of the pixels predicted as a class and labelled as it,
summed over all images, IoU = I / U, and mIoU is its mean over classes. Two conventions:

=====================  ===================================  ====================================
case                   default                              as published (``paper=True``)
=====================  ===================================  ====================================
unlabelled pixels      left out of everything               in the union of what was predicted
class found nowhere    left out of the mean                 counts 0, for U is 1e-8 + its pixels
the ignored class      left out of the mean                 left out of the mean
other unknown ids      refused                              as unlabelled pixels
=====================  ===================================  ====================================
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError

__all__ = ["Confusion", "by_class", "iou_or_nan", "mean_iou", "overlaps"]

PAPER_EPS = 1e-8
_NOTHING = 1e-6  # of weights, each of which is at least 1: what rounding leaves

Map = NDArray[np.integer]
Counts = NDArray[Any]


def overlaps(counts: Counts) -> tuple[Counts, Counts]:
    """Return intersection and union of each class, (…, C, C) or (…, C, C + 1) -> (…, C) each.

    Parameters
    ----------
    counts : array of shape (…, C, C) or (…, C, C + 1)
        Confusion matrices: rows are labels, columns predictions.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    predicted = counts[..., : counts.shape[-2]].sum(axis=-2)
    return hits, counts.sum(axis=-1) + predicted - hits


def iou_or_nan(hits: Counts, unions: Counts) -> NDArray[np.float64]:
    """Return hits over unions; NaN where there is no union."""
    iou = np.full(hits.shape, np.nan)
    np.divide(hits, unions, out=iou, where=unions > _NOTHING)
    return iou


def by_class(names: Sequence[str], iou: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the IoU of each class by its name, None where it is NaN."""
    return dict(zip(names, map(_number, iou.tolist()), strict=True))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


class Confusion:
    """Counts of (label, prediction) pairs, added up image by image.

    Parameters
    ----------
    n_classes : int
        C.
    ignore_label : int
        Label of pixels without a class; if it is below ``n_classes``, that class is left out.
    paper : bool
        Count as published, see the module's text.

    Attributes
    ----------
    counts : array of shape (C + 1, C + 1), int64
        Rows are labels, columns predictions; the last of each is "none of the classes".
    """

    def __init__(self, n_classes: int, ignore_label: int = 255, *, paper: bool = False) -> None:
        self.n_classes = n_classes
        self.ignore_label = ignore_label
        self.paper = paper
        self.counts = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)

    @classmethod
    def of(cls, counts: NDArray[np.int64], ignore_label: int) -> Self:
        """Return what holds a copy of some counts."""
        whole = cls(len(counts) - 1, ignore_label)
        whole.counts += counts
        return whole

    def add(self, prediction: Map, label: Map, name: str = "") -> None:
        """Count the pixels of one image.

        Parameters
        ----------
        prediction, label : integer arrays of one shape
        name : str
            What errors call the image.

        Raises
        ------
        InputError
            If the shapes differ; unless as published, also if an id is no class.
        """
        prediction, label = np.asarray(prediction), np.asarray(label)
        if prediction.shape != label.shape:
            raise InputError(
                f"the mask{_of_image(name)} has the shape {prediction.shape}, its label map "
                f"{label.shape}: they must be equal"
            )
        rows = self._as_class_ids(label, f"label map{_of_image(name)}")
        columns = self._as_class_ids(prediction, f"mask{_of_image(name)}")
        side = self.n_classes + 1
        self.counts += np.bincount(rows * side + columns, minlength=side**2).reshape(side, side)

    def _as_class_ids(self, ids: Map, what: str) -> NDArray[np.int64]:
        """Return the ids as a flat array, with C for every id that is no class."""
        flat = ids.ravel()
        is_class = (flat >= 0) & (flat < self.n_classes)
        unknown = flat[~is_class & (flat != self.ignore_label)]
        if unknown.size and not self.paper:
            raise InputError(
                f"the {what} has the id {unknown[0]} but there are {self.n_classes} classes, 0 to "
                f"{self.n_classes - 1}, and the ignore label is {self.ignore_label}"
            )
        return np.where(is_class, flat, self.n_classes).astype(np.int64)

    def truncate(self, n_classes: int) -> "Confusion":
        """Return the counts for the first classes only; others count as none of the classes."""
        truncated = Confusion(n_classes, self.ignore_label, paper=self.paper)
        first = range(n_classes + 1)  # each class by itself, all further ones summed into the last
        truncated.counts = np.add.reduceat(
            np.add.reduceat(self.counts, first, axis=0), first, axis=1
        )
        return truncated

    @property
    def _labelled(self) -> NDArray[np.int64]:
        """The counts of labelled pixels only, (C, C + 1)."""
        labelled = self.counts[:-1].copy()
        if 0 <= self.ignore_label < self.n_classes:
            labelled[self.ignore_label] = 0
        return labelled

    def iou_per_class(self) -> NDArray[np.float64]:
        """Return the IoU of each class.

        Returns
        -------
        array of shape (C,), float64
            NaN for classes that are left out of the mean.
        """
        if self.paper:  # all labels, those of no class too
            hits, unions = (part[:-1] for part in overlaps(self.counts))
            iou = hits / (PAPER_EPS + unions)
        else:
            iou = iou_or_nan(*overlaps(self._labelled))
        if 0 <= self.ignore_label < self.n_classes:
            iou[self.ignore_label] = np.nan
        return iou

    def mean_iou(self) -> float:
        """Return the mean over the classes that count; NaN if there is none."""
        iou = self.iou_per_class()
        counted = iou[~np.isnan(iou)]
        return float(counted.mean()) if counted.size else float("nan")

    def pixel_accuracy(self) -> float:
        """Return the share of labelled pixels whose prediction is right; NaN if there is none."""
        labelled = self._labelled
        total = int(labelled.sum())
        return float(np.trace(labelled)) / total if total else float("nan")

    def scores(self, names: Sequence[str]) -> dict[str, Any]:
        """Return mIoU, pixel accuracy and IoU by class as plain JSON values, None for NaN."""
        return {
            "mean_iou": _number(self.mean_iou()),
            "pixel_accuracy": _number(self.pixel_accuracy()),
            "iou": by_class(names, self.iou_per_class()),
        }


def _of_image(name: str) -> str:
    return f" of '{name}'" if name else ""


def mean_iou(
    predictions: Map | Sequence[Map],
    labels: Map | Sequence[Map],
    n_classes: int,
    ignore_label: int = 255,
    *,
    paper: bool = False,
) -> float:
    """Return the mean intersection over union of masks and label maps.

    Parameters
    ----------
    predictions, labels : integer array, or sequence of integer arrays
        One or many maps; map k of one belongs to map k of the other.
    n_classes : int
    ignore_label : int
        Label of pixels without a class.
    paper : bool
        Count as published, see the module's text.

    Returns
    -------
    float
        0 to 1; NaN if there is no class to count.

    Raises
    ------
    InputError
        If there are not as many predictions as labels, shapes differ or an id is no class.

    References
    ----------
    Baranchuk et al., "Label-Efficient Semantic Segmentation with Diffusion Models", ICLR 2022:
    ``paper=True`` counts as its released ``compute_iou`` does.

    Examples
    --------
    >>> mean_iou(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 255]), n_classes=3)
    0.5
    """
    confusion = Confusion(n_classes, ignore_label, paper=paper)
    for prediction, label in _pairs(predictions, labels):
        confusion.add(prediction, label)
    return confusion.mean_iou()


def _pairs(
    predictions: Map | Sequence[Map], labels: Map | Sequence[Map]
) -> Iterable[tuple[Map, Map]]:
    if isinstance(predictions, np.ndarray) and isinstance(labels, np.ndarray):
        return [(predictions, labels)]
    if len(predictions) != len(labels):
        raise InputError(
            f"{len(predictions)} masks came with {len(labels)} label maps: each mask needs its own"
        )
    return zip(predictions, labels, strict=True)
