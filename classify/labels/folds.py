"""Stratified folds of images: the images of each class are spread over the folds.

Images are the unit, because pixels of one image are correlated: an image with pixels in both
training and test would be scored by what was learned from itself.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError

__all__ = ["image_folds", "classes_in_one_fold"]


def image_folds(counts: NDArray[np.integer], k: int, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Assign images to folds whose sizes differ by at most one.

    Classes are taken from the rarest on; each image goes to the fold with the fewest images of that
    class and, among those, the most free places. Ties are broken by the seed; the folds are a pure
    function of the arguments.

    Parameters
    ----------
    counts : array of shape (images, classes), integer
        Pixels of each class in each image; only zero or not matters.
    k : int
        Number of folds; as many as images for leave-one-out.
    seed : int

    Returns
    -------
    tuple of k tuples of int
        The images of each fold, ascending; together they are all images, each once.

    Raises
    ------
    InputError
        If there are fewer than two folds, or more than images.

    References
    ----------
    Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011:
    rarest first; here the folds' sizes are also equal.

    Examples
    --------
    >>> sky_and_boats = np.array([[9, 0], [9, 4], [9, 0], [9, 4]])
    >>> sorted(len(set(fold) & {1, 3}) for fold in image_folds(sky_and_boats, 2))
    [1, 1]
    """
    n = len(counts)
    if n < 2:
        raise InputError("only one labelled image: holding images out needs at least two")
    if not 2 <= k <= n:
        raise InputError(
            f"{n} labelled images cannot be divided into {k} folds: give from 2 to {n}, the "
            "number of images"
        )
    rng = np.random.default_rng([seed, k])
    present, order = np.asarray(counts) > 0, rng.permutation(n)
    sizes = np.full(k, n // k)
    sizes[rng.permutation(k)[: n % k]] += 1
    images_with_class = np.zeros((k, present.shape[1]), np.int64)  # images of each class, by fold
    folds: list[list[int]] = [[] for _ in range(k)]
    for image, rarest_class in _rarest_first(present, order):
        free_places = sizes - [len(fold) for fold in folds]
        same_class = (
            np.zeros(k, np.int64) if rarest_class is None else images_with_class[:, rarest_class]
        )
        fold = min(np.flatnonzero(free_places), key=lambda f: (same_class[f], -free_places[f], f))
        folds[fold].append(image)
        images_with_class[fold] += present[image]
    return tuple(tuple(sorted(fold)) for fold in folds)


def _rarest_first(
    present: NDArray[np.bool_], order: NDArray[np.integer]
) -> list[tuple[int, int | None]]:
    """Return the images in order of assignment, each with the class it is assigned by, if any."""
    remaining, assigned = [int(image) for image in order], list[tuple[int, int | None]]()
    while remaining:
        images_with = present[remaining].sum(axis=0)
        if not images_with.any():
            return assigned + [(image, None) for image in remaining]
        rarest = int(np.where(images_with > 0, images_with, len(present) + 1).argmin())
        assigned += [(image, rarest) for image in remaining if present[image, rarest]]
        remaining = [image for image in remaining if not present[image, rarest]]
    return assigned


def classes_in_one_fold(
    counts: NDArray[np.integer], folds: Sequence[Sequence[int]]
) -> tuple[int, ...]:
    """Return the classes all of whose images are in one fold: unknown when it is held out.

    Parameters
    ----------
    counts : array of shape (images, classes), integer
    folds : sequence of sequences of int
        From `image_folds`.

    Examples
    --------
    >>> classes_in_one_fold(np.array([[9, 0], [9, 4], [9, 0]]), [[0], [1, 2]])
    (1,)
    """
    present = np.asarray(counts) > 0
    folds_of = sum(present[list(fold)].any(axis=0).astype(np.int64) for fold in folds)
    return tuple(int(c) for c in np.flatnonzero(folds_of == 1))
