"""Calibration of probabilities: reliability, and temperature scaling.

Networks are often overconfident. Scores that are divided by a temperature T before the softmax give
less confident probabilities (T > 1) or more confident ones; a single T, found by minimising the
negative log-likelihood on held-out pixels, corrects most of the error (Guo et al.).

The scores here are the logarithms of the members' *mean* probability, ``p_T ∝ p ** (1 / T)``: pool
first, then calibrate (Rahaman & Thiery). So the order of the classes at a pixel does not change,
and neither does any mask; and a probability on disk can be brought to another temperature later.

References
----------
Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
Rahaman, Thiery, "Uncertainty Quantification and Deep Ensembles", NeurIPS 2021.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "Calibration",
    "PixelSample",
    "Reliability",
    "calibrate",
    "find_temperature",
    "negative_log_likelihood",
    "reliability",
    "tempered",
]

BINS = 15
"""Bins of confidence of equal width, as in Guo et al."""

LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of T, which diverges if all pixels of a sample are right, or none better than chance."""

_MAX_GROUPS = 10  # more are merged, such as folds of one image each

_CHUNK_PIXELS = 8192  # at a time, so that temporary arrays stay small


@dataclass(frozen=True)
class PixelSample:
    """Pixels with the probabilities of networks that were not trained on them.

    Parameters
    ----------
    probabilities : array of shape (n, C), float32
    y : array of shape (n,), integer
        The true classes.
    weights : array of shape (n,), float64
        How many pixels each one represents.
    groups : array of shape (n,), integer
        The fold of each pixel.
    """

    probabilities: NDArray[np.float32]
    y: NDArray[np.integer]
    weights: NDArray[np.float64]
    groups: NDArray[np.integer]

    def of(self, which: NDArray[np.bool_]) -> Self:
        """Return a subset of the pixels."""
        return type(self)(*(part[which] for part in vars(self).values()))

    @classmethod
    def joined(cls, samples: Sequence[Self]) -> Self:
        """Return several samples as one; those without a pixel may have no classes either."""
        full = [vars(sample).values() for sample in samples if len(sample.y)]
        return cls(*(np.concatenate(parts) for parts in zip(*full, strict=True)))


@dataclass(frozen=True)
class Reliability:
    """How often the most probable class is right, by its probability.

    Parameters
    ----------
    confidence, accuracy : arrays of shape (BINS,), float64
        Mean of the highest probability, and how often its class is right; NaN in an empty bin.
    share : array of shape (BINS,), float64
        Of all pixels; sums to 1.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean difference of the two over the pixels."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(np.nansum(self.share * gaps))

    def to_list(self) -> list[dict[str, float]]:
        """Return the bins that are not empty as plain values."""
        bins = zip(self.confidence, self.accuracy, self.share, strict=True)
        names = ("confidence", "accuracy", "share")
        return [dict(zip(names, map(float, one), strict=True)) for one in bins if one[2] > 0]


@dataclass(frozen=True)
class Calibration:
    """A temperature, and its effect on pixels that it was not fitted on.

    Parameters
    ----------
    temperature : float
        Fitted on all pixels of the sample; 1 if none improves the likelihood.
    pixels : int
        How many those are.
    nll : tuple of two float
        The mean negative log-likelihood in nats, before and after.
    before, after : Reliability
        After: each group's pixels with the temperature of the other groups; the same as before if
        that does not lower the negative log-likelihood.
    """

    temperature: float
    pixels: int
    nll: tuple[float, float]
    before: Reliability
    after: Reliability

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "temperature": self.temperature,
            "pixels": self.pixels,
            "nll": {"before": self.nll[0], "after": self.nll[1]},
            "calibration_error": {"before": self.before.error, "after": self.after.error},
            "reliability": {"before": self.before.to_list(), "after": self.after.to_list()},
        }


def calibrate(sample: PixelSample) -> Calibration:
    """Fit a temperature to a sample, and cross-validate it over the groups.

    The reported reliability is that of pixels whose group was held out when the temperature was
    fitted. If it does not improve, the temperature is 1.

    Parameters
    ----------
    sample : PixelSample
        Of at least one group; with only one, its own temperature is used.
    """
    after, groups = np.empty_like(sample.probabilities), sample.groups % _MAX_GROUPS
    for group in np.unique(groups):
        own = groups == group
        temperature = find_temperature(sample if own.all() else sample.of(~own))
        after[own] = tempered(sample.probabilities[own], temperature)
    calibrated = PixelSample(after, sample.y, sample.weights, sample.groups)
    nll, nll_calibrated = negative_log_likelihood(sample), negative_log_likelihood(calibrated)
    n, before = len(sample.y), reliability(sample)
    if nll_calibrated >= nll:
        return Calibration(1.0, n, (nll, nll), before, before)
    return Calibration(
        find_temperature(sample), n, (nll, nll_calibrated), before, reliability(calibrated)
    )


def tempered(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities at a temperature: ``p ** (1 / T)``, brought to sum to 1.

    Parameters
    ----------
    probabilities : array of shape (n, C), float32
    temperature : float
        1 changes nothing, a higher one makes them less confident.

    Examples
    --------
    >>> tempered(np.float32([[0.9, 0.1]]), 2).round(3)
    array([[0.75, 0.25]], dtype=float32)
    """
    out = np.empty_like(probabilities)
    for chunk in _chunks(len(out)):
        out[chunk] = np.exp(_log_softmax(_scores(probabilities[chunk]) / temperature))
    return out


def negative_log_likelihood(sample: PixelSample, temperature: float = 1.0) -> float:
    """Return the mean of ``-log p`` of the true classes, in nats, at a temperature."""
    total = 0.0
    for chunk in _chunks(len(sample.y)):
        logs = _log_softmax(_scores(sample.probabilities[chunk]) / temperature)
        right = np.take_along_axis(logs, sample.y[chunk, None].astype(np.int64), axis=1)[:, 0]
        total -= float(sample.weights[chunk] @ right)
    return total / float(sample.weights.sum())


def find_temperature(sample: PixelSample) -> float:
    """Return the temperature of the least negative log-likelihood, from `LOWEST` to `HIGHEST`.

    The likelihood is convex in ``b = 1 / T``: Newton's method, with bisection where a step leaves
    the interval that brackets the minimum.
    """
    low, high = 1 / HIGHEST, 1 / LOWEST
    if _slope(sample, low)[0] >= 0:
        return HIGHEST
    if _slope(sample, high)[0] <= 0:
        return LOWEST
    b = 1.0
    for _ in range(60):
        slope, curvature = _slope(sample, b)
        low, high = (b, high) if slope < 0 else (low, b)
        step = b - slope / curvature if curvature > 0 else low
        step = step if low < step < high else (low + high) / 2
        if abs(step - b) < 1e-7 * b:
            break
        b = step
    return 1 / b


def _slope(sample: PixelSample, b: float) -> tuple[float, float]:
    """Return the first two derivatives of the negative log-likelihood by b, up to a factor.

    With scores s and their mean under the tempered probabilities: ``E[s] - s_y`` and ``Var[s]``.
    """
    slope = curvature = 0.0
    for chunk in _chunks(len(sample.y)):
        scores = _scores(sample.probabilities[chunk])
        p, weights = np.exp(_log_softmax(b * scores)), sample.weights[chunk]
        mean = (p * scores).sum(axis=1)
        right = np.take_along_axis(scores, sample.y[chunk, None].astype(np.int64), axis=1)[:, 0]
        slope += float(weights @ (mean - right))
        curvature += float(weights @ ((p * scores**2).sum(axis=1) - mean**2))
    return slope, curvature


def reliability(sample: PixelSample) -> Reliability:
    """Return how often the most probable class is right, by its probability."""
    confidence = sample.probabilities.max(axis=1).astype(np.float64)
    right = sample.probabilities.argmax(axis=1) == sample.y
    # (0, 1/15], (1/15, 2/15], …: as Guo et al. have it
    bin_index = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)

    def summed(values: NDArray[Any]) -> NDArray[np.float64]:
        weighted = sample.weights * values
        return np.bincount(bin_index, weights=weighted, minlength=BINS).astype(np.float64)

    total = summed(np.ones(len(bin_index)))
    mean_confidence, accuracy = (
        np.divide(summed(values), total, out=np.full(BINS, np.nan), where=total > 0)
        for values in (confidence, right)
    )
    return Reliability(mean_confidence, accuracy, total / total.sum())


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK_PIXELS) for start in range(0, n, _CHUNK_PIXELS))


def _scores(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the logarithms of probabilities, made finite."""
    least = np.finfo(np.float32).tiny
    scores: NDArray[np.float64] = np.log(np.maximum(probabilities, least).astype(np.float64))
    return scores


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
