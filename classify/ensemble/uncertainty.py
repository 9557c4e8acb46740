"""How far the members of an ensemble disagree, at a pixel and in an image."""

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError

__all__ = ["check_can_disagree", "image_uncertainty", "jensen_shannon"]


def jensen_shannon(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much the members disagree at each pixel, in nats.

    The entropy of the mean prediction less the mean entropy of the members.

    Parameters
    ----------
    probabilities : array of shape (n_members, n_pixels, n_classes)
        Softmax of each member's scores; the last axis sums to 1.

    Returns
    -------
    array of shape (n_pixels,), float32
        0 where all members agree, at most ``log(min(n_members, n_classes))``.

    Raises
    ------
    InputError
        If there are fewer than two members: one cannot disagree with itself. It is a ValueError.

    References
    ----------
    Zhang et al., "DatasetGAN", CVPR 2021: the uncertainty measure of a pixel.

    Examples
    --------
    >>> two_against_each_other = np.float32([[[1, 0]], [[0, 1]]])
    >>> jensen_shannon(two_against_each_other).round(4)
    array([0.6931], dtype=float32)
    """
    check_can_disagree(len(probabilities))
    mean_entropy = np.mean([_entropy(p) for p in probabilities], axis=0)
    divergence = _entropy(np.mean(probabilities, axis=0, dtype=np.float64)) - mean_entropy
    divergence = np.maximum(divergence, 0)  # rounding can leave -1e-17
    return np.asarray(divergence, dtype=np.float32)


def check_can_disagree(n_members: int) -> None:
    """Refuse to measure the disagreement of fewer than two members.

    Raises
    ------
    InputError
        If there are fewer.
    """
    if n_members < 2:
        raise InputError(
            f"the ensemble has {n_members} member: uncertainty measures how far members disagree, "
            "so it needs at least two. Fit an ensemble of more members"
        )


def _entropy(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return -Σ p log p over the last axis in float64, with 0 log 0 = 0."""
    p = p.astype(np.float64)
    entropy: NDArray[np.float64] = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
    return entropy


def image_uncertainty(js: NDArray[np.floating]) -> float:
    """Return the uncertainty of an image: the mean over its tenth of most uncertain pixels.

    Parameters
    ----------
    js : array of any shape
        `jensen_shannon` at each pixel.

    Returns
    -------
    float
        Mean of the ``int(n / 10)`` highest values, in nats; with fewer than ten pixels, where the
        published rule has nothing to average, the highest.

    Raises
    ------
    InputError
        If there is no pixel.

    References
    ----------
    Baranchuk et al., ICLR 2022: what the released ``predict_labels`` returns.

    Examples
    --------
    >>> image_uncertainty(np.arange(20.0))
    18.5
    """
    flat = np.asarray(js).ravel()
    if not flat.size:
        raise InputError("an image without pixels has no uncertainty")
    count = max(1, flat.size // 10)
    return float(np.partition(flat, -count)[-count:].mean(dtype=np.float64))
