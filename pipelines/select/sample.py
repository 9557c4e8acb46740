"""The pixels that ``dseg select`` looks at, read once for all layers."""

import math
from dataclasses import dataclass
from typing import Self

from ...classify.evaluation.linear_probe import PixelTable, bytes_per_pixel
from ...classify.labels.pixel_sample import draw_pixels
from ...store.errors import InputError
from ...store.read.protocol import Features
from ...store.sampling.dask_tasks import TaskRunner
from ...store.sampling.sampler import sample_vectors
from ..console.progress import Progress
from ..inputs.labelled_pixels import Labelled
from ..training.memory_budget import BYTES_PER_PIXEL, COPIES_OF_CHUNK

__all__ = ["SamplePlan", "read_sample"]

_MOST, _LEAST = 512, 64  # pixels of an image
# What torch, scikit-learn and matplotlib bring in when first used, threads, what malloc keeps.
_FIXED = 200_000_000


@dataclass(frozen=True)
class SamplePlan:
    """How many pixels to draw, and what that takes.

    Parameters
    ----------
    per_image : int
    memory : int
        Bytes, above what the imports take.
    workers : int
        Readers, and later fits, at once.
    """

    per_image: int
    memory: int
    workers: int

    @classmethod
    def of(cls, store: Features, labelled: Labelled, folds: int, most: int, memory: int) -> Self:
        """Plan for the memory: fewer pixels where it is short.

        Parameters
        ----------
        store : Features
        labelled : Labelled
        folds : int
        most : int
            Layers of the largest set that is looked for.
        memory : int
            Bytes allowed.

        Raises
        ------
        InputError
            If it is too little; the message names the least.
        """
        workers = TaskRunner().workers
        images, dims = len(labelled.images), store.spec.dims
        fixed = _FIXED + BYTES_PER_PIXEL * labelled.pixels.n
        fixed += math.ceil(workers * COPIES_OF_CHUNK * store.chunk_bytes)
        pixel = images * bytes_per_pixel(dims, folds, most - 1, workers)
        least = fixed + _LEAST * pixel
        if memory < least:
            raise InputError(
                f"--memory {memory / 1e6:.0f}MB is too little: {dims} channels of {images} "
                f"images need at least {math.ceil(least / 1e6)}MB"
            )
        per_image = min(_MOST, (memory - fixed) // pixel)
        return cls(per_image, fixed + per_image * pixel, workers)


def read_sample(
    store: Features,
    names: tuple[str, ...],
    labelled: Labelled,
    plan: SamplePlan,
    seed: int,
    progress: Progress,
) -> PixelTable:
    """Draw labelled pixels of each image and read their features.

    Parameters
    ----------
    store : Features
    names : tuple of str
        Of its layers.
    labelled : Labelled
    plan : SamplePlan
    seed : int
    progress : Progress
    """
    drawn = draw_pixels(labelled.y, labelled.pixels.image_starts, plan.per_image, seed)
    pixels = labelled.pixels.subset(drawn.index)
    spec, runner = store.spec, TaskRunner(workers=plan.workers)
    with progress.bar("read", len(pixels.rows) * len(spec.map_sizes), "chunks") as advance:
        maps = sample_vectors(store, pixels, pixels.n, seed, runner, advance)
    layers = {
        names[number]: maps[size][:, spec.channel_slices[number]]
        for size in spec.map_sizes
        for number in spec.layers_of(size)
    }
    return PixelTable(
        layers=layers,
        y=labelled.y[drawn.index],
        weight=drawn.weight,
        image=drawn.image,
        n_images=len(labelled.images),
        n_classes=len(labelled.classes),
        raw=frozenset(
            name for name, layer in zip(names, spec.layers, strict=True) if layer.is_extra
        ),
    )
