"""Confidence intervals of scores: by resampling images, and over repeated trials."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .metrics import iou_or_nan, overlaps

__all__ = [
    "Interval",
    "bootstrap_iou",
    "bootstrap_mean_iou",
    "mean_over_draws",
    "share_improved",
]

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
    parts = _overlaps(counts, ignore_label)
    draws = _draws(len(counts), resamples, seed)
    scores = np.concatenate([_mean_iou(parts, times) for times in draws])
    return _percentiles(scores, level)


def bootstrap_iou(
    hits: NDArray[np.integer],
    unions: NDArray[np.integer],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Interval, list[Interval | None]]:
    """Return the percentile intervals of the mIoU and of the IoU of each class.

    The first is that of `bootstrap_mean_iou` with the same seed.

    Parameters
    ----------
    hits, unions : arrays of shape (images, C), integer
        Intersection and union of each class in each image, see `overlaps`; 0 of an ignored class.
    level, resamples, seed
        As of `bootstrap_mean_iou`.

    Returns
    -------
    mean : Interval
    classes : list of Interval or None
        None for a class that occurs in fewer than two images, in labels or masks: resampling one
        image says nothing of others.
    """
    parts = hits.astype(np.float64), unions.astype(np.float64)
    means, scores = [], []
    for times in _draws(len(hits), resamples, seed):
        means.append(_mean_iou(parts, times))
        scores.append(iou_or_nan(times @ parts[0], times @ parts[1]))
    columns, images = np.concatenate(scores).T, (unions > 0).sum(axis=0)
    return _percentiles(np.concatenate(means), level), [
        _percentiles(column, level) if count > 1 else None
        for column, count in zip(columns, images, strict=True)
    ]


def _percentiles(scores: NDArray[np.float64], level: float) -> Interval:
    """Return the interval of those that are not NaN."""
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(scores[~np.isnan(scores)], [tail, 100 - tail])
    return Interval(float(low), float(high), level)


def share_improved(
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    ignore_label: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> float:
    """Return in which share of resamples of the images the mIoU is higher than before.

    A paired bootstrap: both are scored on the same draws, so that what makes an image hard counts
    on both sides.

    Parameters
    ----------
    before, after : arrays of shape (images, C + 1, C + 1), int64
        `Confusion.counts` of the same images, in the same order.
    ignore_label, resamples, seed
        As of `bootstrap_mean_iou`.

    Returns
    -------
    float
        From 0 to 1; .5 of equal ones.

    References
    ----------
    Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16.
    """
    first, second = _overlaps(before, ignore_label), _overlaps(after, ignore_label)
    better, known = 0.0, 0
    for times in _draws(len(before), resamples, seed):
        gain = _mean_iou(second, times) - _mean_iou(first, times)
        better += float((gain > 0).sum() + (gain == 0).sum() / 2)
        known += int((~np.isnan(gain)).sum())
    return better / known if known else 0.5


Overlaps = tuple[NDArray[np.float64], NDArray[np.float64]]


def _overlaps(counts: NDArray[np.int64], ignore_label: int) -> Overlaps:
    """Return intersections and unions of each image and class, (images, C)."""
    known = counts[:, :-1].astype(np.float64)  # labelled pixels: (images, C, C + 1)
    ignored = slice(ignore_label, ignore_label + 1) if ignore_label >= 0 else slice(0)
    known[:, ignored] = 0
    hits, unions = overlaps(known)
    unions[:, ignored] = 0
    return hits, unions


def _draws(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield how many times each of n images is drawn, (some resamples, n)."""
    rng = np.random.default_rng([seed, n])
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        count = min(_RESAMPLES_AT_ONCE, resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=count)


def _mean_iou(parts: Overlaps, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mIoU of each resample; NaN where no class occurs."""
    iou = iou_or_nan(times @ parts[0], times @ parts[1])
    classes = (~np.isnan(iou)).sum(axis=1)
    return np.where(classes > 0, np.nansum(iou, axis=1) / np.maximum(classes, 1), np.nan)


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
