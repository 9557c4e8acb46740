"""Rounds: the pixels of each pool, for features that do not fit in memory.

A round takes from *every* image the next slice of that image's own keyed permutation: a sample
without replacement, stratified by image. All rounds of an epoch together take each pixel once.
A pool of a few whole images would not do: neighbouring pixels are correlated, and the batch
statistics of BatchNorm would be those of a few images.

An image costs reading whole chunks, however few of its pixels are taken. So if a round would take
fewer than `MIN_PIXELS_PER_IMAGE` pixels of an image, each round takes a group of the images
instead, in an order that is keyed, too.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .permutation import KeyedPermutation, derive_key

__all__ = ["MIN_PIXELS_PER_IMAGE", "group_size", "rounds_of_epoch"]

MIN_PIXELS_PER_IMAGE = 64


def group_size(n_images: int, pool: int) -> int:
    """Return how many images a round takes: all, or few enough that each gives enough pixels."""
    if pool >= MIN_PIXELS_PER_IMAGE * n_images:
        return n_images
    return max(1, pool // MIN_PIXELS_PER_IMAGE)


def rounds_of_epoch(
    image_starts: NDArray[np.int64], pool: int, seed: int, epoch: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the pixel numbers of each round of an epoch, image by image.

    Parameters
    ----------
    image_starts : array of shape (n_images + 1,), int64
        As `PixelSet.image_starts`.
    pool : int
        P; every round but the last one of a group takes exactly so many.
    seed, epoch : int

    Yields
    ------
    array of shape (P,) or fewer, int64
        No pixel twice within an epoch; together all pixels.
    """
    for group in _groups(image_starts, pool, seed, epoch):
        yield from _rounds_of_group(image_starts, group, pool, seed, epoch)


def _groups(
    image_starts: NDArray[np.int64], pool: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Split the images, in keyed order, into groups of at least one pool of pixels each."""
    counts = np.diff(image_starts)
    size = group_size(len(counts), pool)
    if size == len(counts):
        return [np.arange(size)]
    order = KeyedPermutation(len(counts), derive_key(seed, "images", epoch))
    groups, current = [], list[int]()
    for image in order(np.arange(len(counts))):
        current.append(int(image))
        if len(current) >= size and counts[current].sum() >= pool:
            groups.append(current)
            current = []
    if not groups:
        return [np.array(current)]
    groups[-1] += current  # too few images for a group of their own
    return [np.array(group) for group in groups]


def _rounds_of_group(
    image_starts: NDArray[np.int64], images: NDArray[np.int64], pool: int, seed: int, epoch: int
) -> Iterator[NDArray[np.int64]]:
    starts = image_starts[images]
    counts = image_starts[images + 1] - starts
    keys = [derive_key(seed, "image", int(image), epoch) for image in images]
    # The upper 53 bits of a key, as a float in (0, 1): never 0 or 1, which would tie images.
    phases = np.array([((key >> 11) + 0.5) / (1 << 53) for key in keys])
    total, taken = int(counts.sum()), np.zeros_like(counts)
    for wanted in [*range(pool, total, pool), total]:
        taken_next = stratified_counts(counts, phases, wanted)
        slices = [
            starts[i]
            + KeyedPermutation(int(counts[i]), keys[i])(np.arange(taken[i], taken_next[i]))
            for i in np.flatnonzero(taken_next > taken)
        ]
        taken = taken_next
        yield np.concatenate(slices)


def stratified_counts(
    counts: NDArray[np.int64], phases: NDArray[np.float64], wanted: int
) -> NDArray[np.int64]:
    """Return how many pixels of each image are among the first ``wanted`` of a stratified order.

    Pixel k of an image of n pixels has the position (k + phase) / n between 0 and 1 (systematic
    sampling); the ``wanted`` pixels of the lowest positions are taken. So each image gives its
    share to within one pixel, the sum is exact, and no count falls as ``wanted`` grows.

    Parameters
    ----------
    counts : array of shape (n_images,), int64
    phases : array of shape (n_images,), float64, in (0, 1)
    wanted : int, at most ``counts.sum()``

    Returns
    -------
    array of shape (n_images,), int64, with sum ``wanted``

    Examples
    --------
    >>> stratified_counts(np.array([10, 30]), np.array([0.3, 0.6]), 20)
    array([ 5, 15])
    """

    def counts_before(line: float) -> NDArray[np.int64]:
        reached: NDArray[np.int64] = np.ceil(counts * line - phases).astype(np.int64)
        return np.clip(reached, 0, counts)

    # Bisection for the position of the last pixel taken; 64 halvings exhaust float64.
    low, high = 0.0, 2.0
    for _ in range(64):
        mid = (low + high) / 2
        if counts_before(mid).sum() >= wanted:
            high = mid
        else:
            low = mid
    at_low, at_high = counts_before(low), counts_before(high)
    # Pixels at exactly the same position: those of the images listed first are taken.
    tied = np.cumsum(at_high - at_low) <= wanted - at_low.sum()
    return np.where(tied, at_high, at_low)
