"""A weighted sample of the labelled pixels of each image.

A uniform sample would hardly contain rare classes; the same number from every class would distort
scores. So the sample is stratified by class and image, with sizes proportional to the square root
of the pixels there, and each pixel has the weight of those it represents: weighted sums over the
sample are unbiased estimates of the sums over all pixels (Horvitz and Thompson).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["DrawnPixels", "allocate", "draw_pixels"]


@dataclass(frozen=True)
class DrawnPixels:
    """Pixels drawn of labelled images.

    Parameters
    ----------
    index : array of shape (n,), int64
        Their numbers among all pixels, ascending.
    weight : array of shape (n,), float64
        How many pixels each represents; over a class in an image they add up to its pixels there.
    image : array of shape (n,), int64
        The index of each one's image.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    image: NDArray[np.int64]


def allocate(counts: NDArray[np.integer], most: int) -> NDArray[np.int64]:
    """Return how many pixels to draw of each class, by the square root of how many there are.

    Parameters
    ----------
    counts : array of shape (C,), integer
        Pixels of each class.
    most : int
        To draw in all; more only where there are more classes than that, for each gives one.

    Returns
    -------
    array of shape (C,), int64
        At most ``counts``.

    References
    ----------
    Bankier, "Power allocations", The American Statistician 42, 1988: with the power 1/2, between
    what is best for the whole and what is best for each part.

    Examples
    --------
    >>> allocate(np.array([10000, 100, 0, 4]), 120)
    array([107,  10,   0,   2])
    """
    counts = np.asarray(counts, np.int64)
    taken, rest = np.zeros_like(counts), counts > 0
    while rest.any():
        roots = np.sqrt(counts * rest)
        share = (most - taken.sum()) * roots / roots.sum()
        full = rest & (share * (1 + 1e-9) >= counts)  # of 442, by rounding 441.99…
        if not full.any():
            taken[rest] = np.maximum(1, share[rest].astype(np.int64))
            break
        taken[full] = counts[full]
        rest = rest & ~full
    return taken


def draw_pixels(
    y: NDArray[np.integer], image_starts: NDArray[np.integer], most: int, seed: int
) -> DrawnPixels:
    """Draw pixels of each image, without replacement within each of its classes.

    Parameters
    ----------
    y : array of shape (N,), integer
        The class of each labelled pixel, image after image.
    image_starts : array of shape (images + 1,), integer
        Where each image's pixels begin, and N.
    most : int
        Pixels of an image, see `allocate`.
    seed : int
    """
    index, weight, image = [], [], []
    for number, (start, stop) in enumerate(pairwise(image_starts)):
        rng = np.random.default_rng([seed, number])
        labels = y[start:stop]
        counts = np.bincount(labels)
        for c, n in enumerate(allocate(counts, most)):
            if n:
                index.append(start + rng.choice(np.flatnonzero(labels == c), n, replace=False))
                weight.append(np.full(n, counts[c] / n))
                image.append(np.full(n, number))
    found = np.concatenate(index)
    order = np.argsort(found)
    return DrawnPixels(
        found[order].astype(np.int64), np.concatenate(weight)[order], np.concatenate(image)[order]
    )
