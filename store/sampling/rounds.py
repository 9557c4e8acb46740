"""Rounds: which pixels a pool takes when not all features fit in memory.

A round takes from *every* image the next slice of that image's own keyed permutation: a sample
stratified by image, without replacement. All rounds of an epoch together take each pixel once.
A pool filled from a few whole images would not do: neighbouring pixels correlate, and BatchNorm
sees it.

Only where a round would take fewer than `LEAST` pixels of an image (each costs reading a whole
chunk) are the images visited in keyed groups.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .permutation import KeyedPermutation, derive_key

__all__ = ["LEAST", "group_size", "rounds_of_epoch"]

LEAST = 64


def group_size(n_images: int, pool: int) -> int:
    """Return how many images a round visits: all, or so many that each gives `LEAST` pixels."""
    return n_images if pool >= LEAST * n_images else max(1, pool // LEAST)


def rounds_of_epoch(
    image_starts: NDArray[np.int64], pool: int, seed: int, epoch: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the pixel numbers of each round of an epoch, image by image.

    Parameters
    ----------
    image_starts : array of shape (n_images + 1,), int64
        As `PixelSet.image_starts`.
    pool : int
        P; every round but the last (of a group) takes exactly so many.
    seed, epoch : int

    Yields
    ------
    array of shape (P,) or fewer, int64
        Distinct within an epoch; together all pixels.
    """
    for group in _groups(image_starts, pool, seed, epoch):
        yield from _rounds_of_group(image_starts, group, pool, seed, epoch)


def _groups(
    image_starts: NDArray[np.int64], pool: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Split the images, in keyed order, into groups that each fill a pool or more."""
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
    groups[-1] += current
    return [np.array(group) for group in groups]


def _rounds_of_group(
    image_starts: NDArray[np.int64], images: NDArray[np.int64], pool: int, seed: int, epoch: int
) -> Iterator[NDArray[np.int64]]:
    starts = image_starts[images]
    counts = image_starts[images + 1] - starts
    keys = [derive_key(seed, "image", int(image), epoch) for image in images]
    phases = np.array([((key >> 11) + 0.5) / (1 << 53) for key in keys])
    total, taken = int(counts.sum()), np.zeros_like(counts)
    for wanted in [*range(pool, total, pool), total]:
        upto = stratified_counts(counts, phases, wanted)
        slices = [
            starts[i] + KeyedPermutation(int(counts[i]), keys[i])(np.arange(taken[i], upto[i]))
            for i in np.flatnonzero(upto > taken)
        ]
        taken = upto
        yield np.concatenate(slices)


def stratified_counts(
    counts: NDArray[np.int64], phases: NDArray[np.float64], wanted: int
) -> NDArray[np.int64]:
    """Return how many of each image's pixels belong to the first ``wanted`` of a fair order.

    Pixel k of an image of n pixels stands at (k + phase) / n on a line from 0 to 1 (systematic
    sampling); the first ``wanted`` along the line are taken. So each image gives its share to
    within one pixel, the sum is exact, and the counts never fall as ``wanted`` grows.

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

    def before(line: float) -> NDArray[np.int64]:
        reached: NDArray[np.int64] = np.ceil(counts * line - phases).astype(np.int64)
        return np.clip(reached, 0, counts)

    low, high = 0.0, 2.0
    for _ in range(64):
        middle = (low + high) / 2
        if before(middle).sum() >= wanted:
            high = middle
        else:
            low = middle
    fewer, more = before(low), before(high)
    # Pixels at the very same place on the line: the images listed first go first.
    tied = np.cumsum(more - fewer) <= wanted - fewer.sum()
    return np.where(tied, more, fewer)
