"""Confidence intervals of scores: by resampling images, and over repeated trials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .metrics import iou_or_nan, overlaps

__all__ = ["Interval", "bootstrap_mean_iou", "mean_over_draws"]

_RESAMPLES_AT_ONCE = 256


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Parameters
    ----------
    low, high : float
    level : float
    """

    low: float
    high: float
    level: float = 0.95


def bootstrap_mean_iou(
    counts: NDArray[np.int64],
    ignore_label: int,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval of the mIoU over images drawn with replacement.

    Images, not pixels, are resampled: errors of pixels of one image are correlated. The mIoU of a
    resample is that of one confusion matrix of all its pixels; a class that neither occurs nor is
    predicted in it is left out of its mean.

    Parameters
    ----------
    counts : array of shape (images, C + 1, C + 1), int64
        `Confusion.counts` of each image.
    ignore_label : int
        As of `Confusion`.
    level : float
    resamples : int
    seed : int

    References
    ----------
    Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    known = counts[:, :-1].astype(np.float64)  # labelled pixels: (images, C, C + 1)
    ignored = slice(ignore_label, ignore_label + 1) if ignore_label >= 0 else slice(0)
    known[:, ignored] = 0
    hits, unions = overlaps(known)  # (images, C)
    unions[:, ignored] = 0
    rng, n = np.random.default_rng([seed, len(counts)]), len(counts)
    scores = []
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        times = rng.multinomial(
            n, np.full(n, 1 / n), size=min(_RESAMPLES_AT_ONCE, resamples - start)
        )
        iou = iou_or_nan(times @ hits, times @ unions)
        classes = (~np.isnan(iou)).sum(axis=1)
        scores.append(np.nansum(iou, axis=1)[classes > 0] / classes[classes > 0])
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(np.concatenate(scores), [tail, 100 - tail])
    return Interval(float(low), float(high), level)


def mean_over_draws(
    values: Sequence[float], overlap: float = 0.0, level: float = 0.95
) -> tuple[float, Interval | None]:
    """Return the mean over repeated trials, and Student's interval of it.

    Trials that share training images are more alike than independent ones; the variance of their
    mean is taken as ``s² (1 / J + overlap)`` for J trials, where ``overlap`` is the number of
    held-out images over that of training images.

    Parameters
    ----------
    values : sequence of float
        One a trial.
    overlap : float
        0: as if they were independent.
    level : float

    Returns
    -------
    mean : float
    interval : Interval or None
        None for a single trial.

    References
    ----------
    Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003: the
    corrected resampled t-test.

    Examples
    --------
    >>> mean, interval = mean_over_draws([0.4, 0.5, 0.6])
    >>> round(mean, 3), round(interval.low, 3), round(interval.high, 3)
    (0.5, 0.252, 0.748)
    """
    from scipy.stats import t  # imported here: it is slow

    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return mean, None
    deviation = float(np.std(values, ddof=1)) * math.sqrt(1 / n + overlap)
    half = float(t.ppf((1 + level) / 2, n - 1)) * deviation
    return mean, Interval(mean - half, mean + half, level)
