"""Labels that an ensemble gives to pixels of images nobody has labelled, where it is sure.

Thresholds are class by class, as of class-balanced self-training (Zou et al., ECCV 2018): of the
pixels that get a class, the surest share is kept. One threshold for all classes would keep easy,
frequent classes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .label_maps import IGNORED
from .pixel_sample import allocate

__all__ = ["SURE_SHARE", "Guess", "pseudo_labels"]

SURE_SHARE = 0.5
"""Of the pixels of each class that are kept."""


@dataclass(frozen=True)
class Guess:
    """What an ensemble says of each pixel of an image.

    Parameters
    ----------
    winner : array of shape (H, W), uint16
        Index of the most probable class.
    confidence : array of shape (H, W), uint8
        Its probability, from 0 to 255.
    """

    winner: NDArray[np.uint16]
    confidence: NDArray[np.uint8]

    @classmethod
    def of(cls, probabilities: NDArray[np.floating]) -> Self:
        """Return the guess that probabilities (C, H, W) state."""
        winner = probabilities.argmax(axis=0)
        best = np.take_along_axis(probabilities, winner[None], axis=0)[0].astype(np.float32)
        return cls(winner.astype(np.uint16), np.rint(255 * best).astype(np.uint8))


def pseudo_labels(
    guesses: Sequence[Guess], n_classes: int, most: int, seed: int, share: float = SURE_SHARE
) -> list[NDArray[np.uint16]]:
    """Return label maps of the surest pixels of each class.

    Parameters
    ----------
    guesses : sequence of Guess
        Of each image.
    n_classes : int
    most : int
        Labelled pixels of all images together, at most; shared out to the classes by the square
        root of how many pixels each has, as `allocate` does.
    seed : int
        Of which pixels are drawn, where there are more.
    share : float
        Of the pixels of each class that are sure enough: those with the highest probabilities.

    Returns
    -------
    list of arrays of shape (H, W), uint16
        `IGNORED` where a pixel gets no label.

    References
    ----------
    Zou, Yu, Kumar, Wang, "Unsupervised Domain Adaptation for Semantic Segmentation via
    Class-Balanced Self-Training", ECCV 2018: algorithm 2, which finds the thresholds.
    """
    histogram = np.zeros((n_classes, 256), np.int64)
    for guess in guesses:
        np.add.at(histogram, (guess.winner.ravel(), guess.confidence.ravel()), 1)
    threshold = _thresholds(histogram, share)
    sure = np.array([histogram[k, threshold[k] :].sum() for k in range(n_classes)])
    chance = allocate(sure, most) / np.maximum(sure, 1)
    rng, labels = np.random.default_rng(seed), []
    for guess in guesses:
        kept = guess.confidence >= threshold[guess.winner]
        kept &= rng.random(kept.shape) < chance[guess.winner]
        labels.append(np.where(kept, guess.winner, np.uint16(IGNORED)))
    return labels


def _thresholds(histogram: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return the confidence of each class from which on a share of its pixels lies.

    (C, 256) → (C,). All pixels of the threshold's own confidence are above it: more than the share,
    where many are alike.
    """
    above = histogram[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels of at least that confidence
    wanted = share * histogram.sum(axis=1, keepdims=True)
    return np.asarray((above >= wanted).sum(axis=1) - 1)
