"""A student of `dseg distil` as what makes masks: its scores stand where the ensemble's would."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...classify.inference.prediction import At, Outputs, Prediction, predict_image
from ...classify.labels.classes import Classes
from ...distil.inference.scorer import SCORES, StudentScores
from ...distil.student.files import Student, read_student
from ...distil.student.view import View
from ...extract.images.files import ImageFiles
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import DsegError, InputError
from ...store.urls.location import Location
from ...store.urls.options import StorageOptions
from ..console.progress import Progress
from ..features.inference import (
    Decoded,
    Job,
    Refused,
    Tile,
    TileActivations,
    Unchanged,
    tiles_of,
)
from ..features.sources import ImageFilesSource, Segmentable, Source
from .mask_model import FeatureNetwork, ImageOptions

__all__ = ["StudentModel"]

_BATCH_ACCELERATOR = 8
_FLAT = {"checkpoint": "checkpoint", "backbone": "network of one's own"}


class StudentModel:
    """A student; see `MaskModel`.

    Parameters
    ----------
    folder : path
    device : torch.device
    """

    members = 1
    networks: tuple[FeatureNetwork, ...] = ()

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder, self._device = folder, device
        self._student: Student = read_student(folder)

    @property
    def classes(self) -> Classes:
        """Names and colours of the classes."""
        return self._student.classes

    @property
    def extra(self) -> Mapping[str, Any]:
        """Its labelled images."""
        return self._student.extra

    @property
    def tile(self) -> int | None:
        """The side of its tiles; None if it sees images whole."""
        view = self._student.view
        return view.side if view.fit == "tile" else None

    @property
    def reading(self) -> ReadingSpec:
        """How the images were read that it learnt from."""
        return self._student.reading

    def images(
        self, files: ImageFiles, options: ImageOptions, progress: Progress
    ) -> "StudentSource":
        """Return the scores of images, which the student computes."""
        for name, what in _FLAT.items():
            if getattr(options, name) is not None:
                raise InputError(
                    f"--{name} names the {what} of an ensemble's features, but "
                    f"'{self._folder}' is a student, which needs none: leave it out"
                )
        return StudentSource(self._student, files, options, self._device, progress)

    def default_sources(self, storage: StorageOptions = ()) -> tuple[Location, ...]:
        """Refuse: the images have to be given."""
        raise InputError(f"'{self._folder}' is a student: give a folder of images, or single ones")

    def stores(self, paths: Sequence[Location]) -> Source:
        """Refuse: a student takes images."""
        stores = ", ".join(f"'{path}'" for path in paths)
        raise InputError(
            f"'{self._folder}' is a student, which takes images, not the features in {stores}: "
            "give a folder of images, or single ones"
        )

    def segmenter(self, source: Source, at: At = "image") -> "StudentSegmenter":
        """Return what segments the images of a source."""
        if at != "image":
            raise InputError(
                "--paper writes the masks that an ensemble votes on at its network's size; "
                f"'{self._folder}' is a student: leave it out"
            )
        return StudentSegmenter(len(self.classes), self._device)


class StudentSource(ImageFilesSource):
    """The scores of images.

    Parameters
    ----------
    student : Student
    files : ImageFiles
    options : ImageOptions
    device : torch.device
    progress : Progress
    """

    def __init__(
        self,
        student: Student,
        files: ImageFiles,
        options: ImageOptions,
        device: torch.device,
        progress: Progress,
    ) -> None:
        reading = replace(
            student.reading,
            white=options.white or student.reading.white,
            most_pixels=options.most_pixels,
        )
        super().__init__(files, reading, options.white is not None, progress)
        self._view: View = student.view
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
        network: Any = student.network
        self._network: nn.Module = network.to(device, memory_format=layout)
        self._device, self._layout = device, layout
        self._batch = options.batch_size or (1 if device.type == "cpu" else _BATCH_ACCELERATOR)

    def _job(self, number: int, name: str, path: Location, size: tuple[int, int]) -> Job:
        return Job(number, name, path, self._view.geometry(size))

    def _computed(
        self, images: Iterable[Decoded | Unchanged | Refused]
    ) -> Iterator[TileActivations | Unchanged | Refused]:
        pending: list[Tile] = []
        for item in _by_tile(images):
            if pending and not (isinstance(item, Tile) and _shape(item) == _shape(pending[0])):
                yield from self._run(pending)  # tiles of one shape go through together
                pending = []
            if not isinstance(item, Tile):
                yield item
                continue
            pending.append(item)
            if len(pending) == self._batch:
                yield from self._run(pending)
                pending = []
        if pending:
            yield from self._run(pending)

    @torch.no_grad()
    def _run(self, batch: list[Tile]) -> Iterator[TileActivations]:
        rows = np.stack([tile.inputs[0] for tile in batch])
        x = (torch.from_numpy(rows).to(self._device) + 1) / 2  # [-1, 1] -> [0, 1]
        scores = self._network(x.contiguous(memory_format=self._layout)).float()
        for tile, one in zip(batch, scores, strict=True):
            yield TileActivations(tile.image, tile.number, {SCORES: one})


def _by_tile(
    images: Iterable[Decoded | Unchanged | Refused],
) -> Iterator[Tile | Unchanged | Refused]:
    for image in images:
        if isinstance(image, Decoded):
            yield from tiles_of(image)
        else:
            yield image


def _shape(tile: Tile) -> tuple[int, int]:
    return tile.image.job.geometry.row_shape


class StudentSegmenter:
    """Makes masks of a student's scores.

    Parameters
    ----------
    n_classes : int
    device : torch.device
    """

    def __init__(self, n_classes: int, device: torch.device) -> None:
        self._n_classes, self._device = n_classes, device

    def __call__(
        self,
        image: Segmentable,
        *,
        want_probabilities: bool = False,
        want_uncertainty: bool = True,
        sample: NDArray[np.int64] | None = None,
    ) -> Prediction:
        """Return the prediction of an image; it has no uncertainty, for nothing can disagree.

        Raises
        ------
        DsegError
            If the image cannot be used.
        """
        if image.refused is not None or image.geometry is None:
            raise DsegError(image.refused or "it has no tiles")
        scorer = StudentScores(self._n_classes, image.geometry.row_shape, self._device)
        outputs = Outputs(probabilities=want_probabilities, sample=sample)
        return predict_image(scorer, image.geometry, image.maps, outputs=outputs)
