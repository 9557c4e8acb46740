"""A trial: learn from some labelled images, score on others, keep no model.

Images are scored as `dseg predict` and `dseg evaluate` would: masks of their own size, in bands of
lines, against the label maps as they are on disk. Training takes the memory it is given, with what
the labels of all images take beside it; it has let go of it when the first mask is made.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.evaluation.metrics import Confusion
from ...classify.inference.prediction import Prediction
from ...store.read.protocol import Features
from ..console.progress import Progress
from ..features.sources import Segmentable, StoreSource
from ..inputs.labelled_pixels import Labelled
from ..masks.segmenter import Segmenter, segmented
from .job import Training
from .options import TrainingOptions

__all__ = ["LEFT_BEHIND", "HeldOutImage", "Learner", "Scores", "TrialSetup", "trial"]

# Of labels held: y and the columns of pixels, 2 bytes each.
_BYTES_PER_LABELLED_PIXEL = 4

Learner = Callable[[Sequence[str], Progress], PixelEnsemble]
"""Takes the stems of the images to learn from, and returns a trained ensemble."""

LEFT_BEHIND = 35_000_000
"""Bytes that the masks of a trial leave to the next training: threads, and what malloc keeps."""


@dataclass(frozen=True)
class TrialSetup:
    """What trials on one store share.

    Parameters
    ----------
    store : Features
    labelled : Labelled
        All labelled images, those to learn from and those to score on.
    options : TrainingOptions
    memory : int
        Bytes to take above what the imports take, in training.
    device : torch.device
    client : distributed.Client, optional
        The cluster that reads for the training.
    beside : int
        Bytes of the memory that are not for the training, besides the labels of all images.
    """

    store: Features
    labelled: Labelled
    options: TrainingOptions
    memory: int
    device: torch.device
    client: Any = None
    beside: int = 0

    def training(self, stems: Sequence[str]) -> Training:
        """Plan a training on some of the images.

        Raises
        ------
        InputError
            If nothing can be learnt from them, or the memory is too small.
        """
        beside = self.beside + LEFT_BEHIND + _BYTES_PER_LABELLED_PIXEL * self.labelled.pixels.n
        return Training.of(
            self.store,
            self.labelled.of(stems),
            self.options,
            self.memory,
            self.device,
            self.client,
            beside,
        )

    def learn(self, stems: Sequence[str], progress: Progress) -> PixelEnsemble:
        """Train on some of the images.

        Raises
        ------
        DsegError
            As `training`; also if features are damaged.
        """
        return self.training(stems).run(progress)


@dataclass(frozen=True)
class HeldOutImage:
    """An image that was scored, while it is at hand.

    Parameters
    ----------
    image : Segmentable
    prediction : Prediction
    label : integer array of shape (H, W)
        The label map as on disk.
    sample : array of shape (n,), int64
        Places of the pixels in ``prediction.sampled``, if any were asked for.
    labelled : int
        Pixels of the label map that have a class.
    """

    image: Segmentable
    prediction: Prediction
    label: NDArray[np.integer[Any]]
    sample: NDArray[np.int64]
    labelled: int


@dataclass(frozen=True)
class Scores:
    """How well masks agree with label maps, image by image.

    Parameters
    ----------
    images : tuple of str
        Stems.
    counts : array of shape (images, C + 1, C + 1), int64
        `Confusion.counts` of each.
    ignore : int
        The label maps' id of pixels without a class.
    """

    images: tuple[str, ...]
    counts: NDArray[np.int64]
    ignore: int

    @property
    def confusion(self) -> Confusion:
        """All images together."""
        return Confusion.of(self.counts.sum(axis=0), self.ignore)

    @property
    def by_image(self) -> Iterator[tuple[str, Confusion]]:
        """Each image by itself."""
        for stem, counts in zip(self.images, self.counts, strict=True):
            yield stem, Confusion.of(counts, self.ignore)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the scores of several trials on different images as one."""
        images = tuple(stem for part in parts for stem in part.images)
        return cls(images, np.concatenate([part.counts for part in parts]), parts[0].ignore)


def trial(
    setting: TrialSetup,
    train: Sequence[str],
    test: Sequence[str],
    progress: Progress | None = None,
    *,
    seen: Callable[[HeldOutImage], None] | None = None,
    sampled: int = 0,
    learn: Learner | None = None,
) -> Scores:
    """Train on some images and score on others.

    Parameters
    ----------
    setting : TrialSetup
    train, test : sequence of str
        Stems of labelled images.
    progress : Progress, optional
        Shows bars of both.
    seen : callable, optional
        Takes each scored image with what the ensemble says of it; it is not kept afterwards.
    sampled : int
        Of so many labelled pixels an image, drawn by seed and stem, fill ``prediction.sampled``.
    learn : callable, optional
        How to train; by default `TrialSetup.learn`.

    Raises
    ------
    InputError
        If the training images have fewer than two classes, or the memory is too small.
    DsegError
        If features are damaged.
    """
    labelled, progress = setting.labelled, progress or Progress()
    ensemble = (learn or setting.learn)(train, progress)
    label_maps = dict(zip(labelled.images, labelled.label_maps, strict=True))
    segmenter = Segmenter(ensemble, setting.store.spec, setting.device)
    stems, counts = [], []
    source = StoreSource(setting.store).images(test, lambda *_: False)
    with progress.bar("predict", len(test), "images") as advance:
        for image in source:
            assert isinstance(image, Segmentable)  # none is done already
            label = label_maps[image.stem].read()
            places = _with_class(label, labelled)
            sample = _drawn(places, sampled, setting.options.seed, image.stem)
            prediction = segmented(segmenter, image, sample=sample if len(sample) else None)
            confusion = Confusion(len(labelled.scored), labelled.ignore)
            confusion.add(prediction.mask, label, image.stem)
            stems.append(image.stem)
            counts.append(confusion.counts)
            if seen is not None:
                seen(HeldOutImage(image, prediction, label, sample, len(places)))
            advance(1)
    return Scores(tuple(stems), np.stack(counts), labelled.ignore)


def _with_class(label: NDArray[np.integer[Any]], labelled: Labelled) -> NDArray[np.int64]:
    """Return the places of a label map's pixels that have a class that is learnt."""
    flat = label.ravel()
    return np.flatnonzero((flat != labelled.ignore) & (flat < len(labelled.classes)))


def _drawn(places: NDArray[np.int64], most: int, seed: int, stem: str) -> NDArray[np.int64]:
    """Draw some places, at most so many, in ascending order."""
    if len(places) <= most:
        return places
    rng = np.random.default_rng([seed, crc32(stem.encode())])
    return np.sort(rng.choice(places, most, replace=False))
