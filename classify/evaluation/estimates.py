"""mIoU from weighted pixels, and the standard error of the difference of two."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .metrics import iou_or_nan, overlaps

__all__ = ["IouEstimate", "weighted_counts"]


def weighted_counts(
    y: NDArray[np.integer],
    predicted: NDArray[np.integer],
    weight: NDArray[np.float64],
    image: NDArray[np.integer],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Add up weights by image, class and prediction.

    Parameters
    ----------
    y, predicted : arrays of shape (n,), integer
    weight : array of shape (n,), float64
        How many pixels each represents, see `DrawnPixels`.
    image : array of shape (n,), integer
    shape : tuple of int
        Images, and classes C.

    Returns
    -------
    array of shape (images, C, C), float64
        Estimates of each image's confusion matrix; rows are labels.
    """
    images, n_classes = shape
    cell = (image * n_classes + y.astype(np.int64)) * n_classes + predicted
    counts = np.bincount(cell, weights=weight, minlength=images * n_classes**2)
    return counts.astype(np.float64).reshape(images, n_classes, n_classes)


@dataclass(frozen=True)
class IouEstimate:
    """IoU of images whose confusion matrices are known, exactly or by estimates.

    Parameters
    ----------
    counts : array of shape (images, C, C), float64
        As from `weighted_counts`.
    """

    counts: NDArray[np.float64]

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """IoU of each class over all images; NaN for a class without pixels."""
        return iou_or_nan(*overlaps(self.counts.sum(axis=0)))

    @property
    def mean_iou(self) -> float:
        """Mean over the classes with pixels."""
        return float(np.nanmean(self.iou))

    @cached_property
    def _leave_one_out(self) -> NDArray[np.float64]:
        """IoU of each class with one image left out, for each image: (images, C)."""
        return iou_or_nan(*overlaps(self.counts.sum(axis=0) - self.counts))

    def difference_error(self, other: "IouEstimate") -> float:
        """Return the standard error of the difference to another estimate on the same images.

        By the jackknife over images, so that images that are easy or hard for both cancel out. A
        class that is in one image only does not count where that image is left out.

        References
        ----------
        Efron, Stein, "The jackknife estimate of variance", Annals of Statistics 9, 1981.
        """
        differences = self._leave_one_out - other._leave_one_out  # (images, C)
        valid = ~np.isnan(differences)
        total = np.where(valid, differences, 0).sum(axis=1)
        gains = total[valid.any(axis=1)] / valid.sum(axis=1)[valid.any(axis=1)]
        n = len(gains)
        return float(np.sqrt((n - 1) / n * ((gains - gains.mean()) ** 2).sum())) if n > 1 else 0.0
