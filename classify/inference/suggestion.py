"""Which images to label next, and where: those that a model is unsure of, and that differ.

Uncertainty alone picks many images of one kind: what puzzles a model in one of them puzzles it in
the others too, and labels of the second bring little. So images are chosen one after the other,
each time the one whose uncertainty times its distance to the labelled and chosen images is largest
(greedy k-centre, as in Sener and Savarese, "Active learning for convolutional neural networks: a
core-set approach", ICLR 2018, weighted by the ensemble's disagreement).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ..ensemble.scaling import Scaling

__all__ = ["Region", "choose", "standardised", "uncertain_regions"]

_SHARE = 4
"""A region's sides are a quarter of the image's."""


@dataclass(frozen=True)
class Region:
    """A rectangle of an image.

    Parameters
    ----------
    top, left, height, width : int
        In pixels.
    uncertainty : float
        Mean Jensen-Shannon divergence of the members in it, nats.
    """

    top: int
    left: int
    height: int
    width: int
    uncertainty: float


def standardised(means: NDArray[np.float32], layers: Sequence[int]) -> NDArray[np.float32]:
    """Return mean activations of images, so that all layers count the same in a distance.

    Parameters
    ----------
    means : array of shape (n, D), float32
        Mean of each channel over an image.
    layers : sequence of int
        Channels of each layer, which add up to D.

    Returns
    -------
    array of shape (n, D), float32
    """
    features = torch.from_numpy(means.copy())
    return Scaling.of(features, layers).apply_(features).numpy()


def choose(
    uncertainty: Sequence[float],
    places: NDArray[np.float32],
    known: NDArray[np.float32],
    count: int,
) -> list[int]:
    """Choose images, the most useful one first.

    Parameters
    ----------
    uncertainty : sequence of n floats
        Of each image, at least 0.
    places : array of shape (n, D), float32
        Where each image lies: `standardised`.
    known : array of shape (k, D), float32
        Where the labelled images lie; with none of them the first choice is the most uncertain.
    count : int

    Returns
    -------
    list of int
        Numbers of at most ``count`` images. Of equals the first.

    Examples
    --------
    Two images of one kind, and a less uncertain one of another:

    >>> choose([3, 2.9, 2], np.float32([[5], [5.1], [-4]]), np.float32([[0]]), 2)
    [0, 2]
    """
    weights = np.asarray(uncertainty, np.float64)
    nearest = np.full(len(weights), np.inf)
    for place in known:
        nearest = np.minimum(nearest, _distances(places, place))
    chosen: list[int] = []
    left = np.ones(len(weights), np.bool_)
    while left.any() and len(chosen) < count:
        far = np.ones(len(weights)) if np.isinf(nearest).all() else nearest
        best = int(np.argmax(np.where(left, weights * far, -1)))
        chosen.append(best)
        left[best] = False
        nearest = np.minimum(nearest, _distances(places, places[best]))
    return chosen


def _distances(places: NDArray[np.float32], place: NDArray[np.float32]) -> NDArray[np.float64]:
    apart: NDArray[np.float64] = np.linalg.norm(places - place, axis=1).astype(np.float64)
    return apart


def uncertain_regions(js: NDArray[np.float32], most: int = 3) -> list[Region]:
    """Return the rectangles of an image where the members disagree most; they do not overlap.

    Each is a quarter as high and as wide as the image, but at least one pixel, and lies where its
    mean is highest. One whose mean is not above that of the image is left out.

    Parameters
    ----------
    js : array of shape (H, W), float32
        Jensen-Shannon divergence at each pixel.
    most : int

    Returns
    -------
    list of Region
        The most uncertain first.

    Examples
    --------
    >>> js = np.zeros((8, 8), np.float32)
    >>> js[4:6, 2:4] = 0.5
    >>> uncertain_regions(js)
    [Region(top=4, left=2, height=2, width=2, uncertainty=0.5)]
    """
    height, width = (max(1, side // _SHARE) for side in js.shape)
    means = _window_means(js, height, width)
    floor, found = float(js.mean(dtype=np.float64)), list[Region]()
    while len(found) < most:
        top, left = divmod(int(np.argmax(means)), means.shape[1])
        value = float(means[top, left])
        if not value > floor:
            break
        found.append(Region(top, left, height, width, value))
        means[max(0, top - height + 1) : top + height, max(0, left - width + 1) : left + width] = -1
    return found


def _window_means(js: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Return the mean of each window of that size, by its upper left corner."""
    means = ndimage.uniform_filter(js.astype(np.float64), (height, width), mode="constant")
    rows, columns = js.shape[0] - height + 1, js.shape[1] - width + 1
    windows: NDArray[np.float64] = means[height // 2 :, width // 2 :][:rows, :columns].copy()
    return windows
