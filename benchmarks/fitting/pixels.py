"""Labelled pixels of a set with their feature vectors, and its images in two halves."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from dseg.classify.labels.classes import Classes
from dseg.extract.networks.options import BackboneOptions
from dseg.pipelines.console.progress import Progress
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.inputs.labelled_pixels import read_labelled
from dseg.store.read.reader import FeatureStore
from dseg.store.spec import FeatureSpec
from numpy.typing import NDArray
from real.layout import DataSet, write_list

__all__ = ["Drawn", "drawn_pixels"]


@dataclass(frozen=True)
class Drawn:
    """Pixels of the images of train.txt; test images are never among them.

    Parameters
    ----------
    X : array of shape (n, D), float16
        Feature vectors.
    y : array of shape (n,), int64
        Class ids.
    image : array of shape (n,), int64
        The number of each pixel's image.
    spec : FeatureSpec
    classes : Classes
    """

    X: NDArray[np.float16]
    y: NDArray[np.int64]
    image: NDArray[np.int64]
    spec: FeatureSpec
    classes: Classes

    def halves(self, seed: int) -> tuple["Drawn", "Drawn"]:
        """Return the pixels of half of the images, to learn from, and the others', to score."""
        images = np.random.default_rng(seed).permutation(self.image.max() + 1)
        learnt = np.isin(self.image, images[: len(images) // 2])
        return self._part(learnt), self._part(~learnt)

    def _part(self, mask: NDArray[np.bool_]) -> "Drawn":
        return Drawn(self.X[mask], self.y[mask], self.image[mask], self.spec, self.classes)

    def by_size(self) -> dict[str, NDArray[np.float16]]:
        """Return the vectors' channels by map size, as they stand in a store."""
        spec = self.spec
        return {
            size: np.concatenate(
                [self.X[:, spec.offsets[i] : spec.offsets[i + 1]] for i in spec.layers_of(size)],
                axis=1,
            )
            for size in spec.map_sizes
        }


def drawn_pixels(data: DataSet, size: tuple[int, int] | None, most: int, work: Path) -> Drawn:
    """Extract the images of train.txt by the built-in checkpoint and draw pixels of each.

    Parameters
    ----------
    data : DataSet
    size : (height, width), optional
        Of the rows; by default the checkpoint's.
    most : int
        Pixels an image.
    work : path
        Where the store is written; one that is there is gone on with.
    """
    store = work / f"{data.name}.zarr"
    listing = write_list(work / f"{data.name}.txt", data.train)
    extract(
        ExtractConfig(data.images, store, list_file=listing, backbone=BackboneOptions(size=size))
    )
    opened = FeatureStore.open(store)
    labelled = read_labelled(opened, data.labels, data.train, 255, Progress())
    random, chosen = np.random.default_rng(0), []
    for first, end in pairwise(labelled.pixels.image_starts):
        some = random.choice(end - first, min(most, end - first), replace=False)
        chosen.append(first + np.sort(some))
    index = np.concatenate(chosen)
    position, yx = labelled.pixels.locate(index)
    rows = labelled.pixels.rows[position]
    X = np.empty((len(index), opened.spec.dims), np.float16)
    for part in np.array_split(np.arange(len(index)), len(chosen)):  # float32 of all is too much
        X[part] = opened.pixels(rows[part], yx[part])
    image = np.repeat(np.arange(len(chosen)), list(map(len, chosen)))
    y = labelled.y[index].astype(np.int64)
    return Drawn(X, y, image, opened.spec, labelled.classes)
