"""The teacher's pass: soft labels of images, each written once, at the student's size."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ...classify.inference.prediction import Prediction
from ...distil.data.examples import Example, ImageFile, SoftTarget
from ...distil.data.soft_labels import SoftLabel, write_soft_label
from ...distil.student.view import View
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import DsegError, InputError
from ...store.geometry import Geometry
from ..console.progress import Progress
from ..features.inference import ahead
from ..features.sources import ImageFilesSource, Segmentable
from ..masks.mask_model import MaskModel, Segment
from .sources import Unlabelled

__all__ = ["SoftLabels"]

_WRITERS, _MAX_WAITING = 1, 2


@dataclass(frozen=True)
class SoftLabels:
    """The soft labels of images, in a folder.

    Parameters
    ----------
    folder : path
    view : View
        How the student sees an image.
    """

    folder: Path
    view: View

    def paths(self, sha256: str, geometry: Geometry) -> list[Path]:
        """Return the file of each tile of an image."""
        count = len(geometry.offsets)
        names = [sha256] if count == 1 else [f"{sha256}-{tile}" for tile in range(count)]
        return [self.folder / f"{name}.npz" for name in names]

    def missing(self, images: Unlabelled) -> list[str]:
        """Return the stems of the images whose soft labels are not there yet."""
        return [
            stem
            for stem, size in images.sizes.items()
            if not _all_there(self.paths(images.sha256[stem], self.view.geometry(size)))
        ]

    def make(
        self,
        teacher: MaskModel,
        source: ImageFilesSource,
        images: Unlabelled,
        progress: Progress,
    ) -> dict[str, str]:
        """Have the teacher segment the images whose soft labels are missing.

        Only a few images and predictions are in memory at a time.

        Parameters
        ----------
        teacher : MaskModel
        source : ImageFilesSource
            Of the teacher.
        images : Unlabelled
        progress : Progress

        Returns
        -------
        dict
            Why images cannot be used, by name.

        Raises
        ------
        DsegError
            If a soft label cannot be written.
        """
        failed: dict[str, str] = {}
        segment = teacher.segmenter(source)
        done = partial(self._is_done, images.sizes)
        label = partial(self._labelled, images.sizes, segment, failed)
        with progress.bar("teacher", len(images.stems), "images") as advance:
            made = map(label, source.images(images.stems, done))
            for _ in ahead(_write, made, _WRITERS, limit=_MAX_WAITING):
                advance(1)
        return failed

    def _is_done(self, sizes: Mapping[str, tuple[int, int]], stem: str, sha256: bytes) -> bool:
        return _all_there(self.paths(sha256.hex(), self.view.geometry(sizes[stem])))

    def _labelled(
        self,
        sizes: Mapping[str, tuple[int, int]],
        segment: Segment,
        failed: dict[str, str],
        image: Segmentable | str,
    ) -> list[tuple[Path, SoftLabel]]:
        """Return the soft label of each tile, and its file; none if they exist, or cannot be."""
        if isinstance(image, str):
            return []
        geometry = self.view.geometry(sizes[image.stem])
        try:
            if image.geometry is not None:  # the mask is drawn at the student's size
                at_size = replace(image.geometry, size=geometry.resized)
                image = replace(image, geometry=at_size)
            prediction = segment(image, want_probabilities=True, want_uncertainty=False)
        except InputError:
            raise
        except DsegError as error:
            failed[image.name] = str(error)
            return []
        files = self.paths(image.sha256.hex(), geometry)
        return list(zip(files, _tiles(prediction, geometry), strict=True))

    def examples(self, images: Unlabelled, reading: ReadingSpec) -> dict[str, list[Example]]:
        """Return the examples of those images whose soft labels exist, by stem."""
        found, names = {}, images.files.by_stem
        for stem, size in images.sizes.items():
            picture = ImageFile(images.files.local[names[stem]], reading)
            geometry = self.view.geometry(size)
            files = self.paths(images.sha256[stem], geometry)
            if _all_there(files):
                found[stem] = [
                    Example(picture, geometry, tile, SoftTarget(file))
                    for tile, file in enumerate(files)
                ]
        return found


def _all_there(paths: Iterable[Path]) -> bool:
    return all(path.is_file() for path in paths)


def _tiles(prediction: Prediction, geometry: Geometry) -> Iterator[SoftLabel]:
    """Yield the soft label of each tile; a pixel counts by its highest probability.

    Not by the members' disagreement: they mostly agree even where each of them is in doubt.
    """
    assert prediction.probabilities is not None
    for tile, (y, x) in enumerate(geometry.offsets):
        height, width = geometry.content(tile)
        part = prediction.probabilities[:, y : y + height, x : x + width]
        yield SoftLabel.of(part, part.max(0))


def _write(soft: list[tuple[Path, SoftLabel]]) -> None:
    for path, label in soft:
        write_soft_label(path, label)
