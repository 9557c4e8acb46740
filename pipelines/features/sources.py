"""Sources of what masks are made from: a feature store, or images run through a network."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Protocol, Self

from ...extract.from_spec import restore_backbone
from ...extract.images.files import ImageFiles
from ...extract.images.levels import FULL
from ...extract.images.reading import UnreadableImage
from ...extract.images.reading_spec import ReadingSpec
from ...extract.protocol import Backbone
from ...store.errors import InputError, StoreError
from ...store.geometry import Geometry
from ...store.names import stem_of
from ...store.read.image_tables import StoredImage
from ...store.read.protocol import Features
from ...store.spec import FeatureSpec
from ...store.urls.location import Location
from ..console.progress import Progress
from ..inputs.image_list import named
from ..inputs.image_survey import ImageSurvey, survey_images, warn_if_dark
from .inference import (
    Decoded,
    ImageTransform,
    Job,
    Refused,
    TileActivations,
    Unchanged,
    activations,
    ahead,
    decoded,
    tile_batch_size,
)

__all__ = [
    "ImageFilesSource",
    "ImageSource",
    "Segmentable",
    "Source",
    "StoreSource",
    "changed_meanwhile",
    "reading_of",
]


@dataclass(frozen=True)
class Segmentable:
    """An image with its activations: ``maps`` yields those of each tile, in order.

    ``refused`` says why there are none; then ``maps`` is empty.
    """

    stem: str
    name: str
    geometry: Geometry | None
    sha256: bytes
    maps: Iterable[Mapping[str, Any]] = ()
    refused: str | None = None


class Source(Protocol):
    """A set of images, by stem, with their activations."""

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems of all images."""

    def images(
        self, stems: Iterable[str], is_done: Callable[[str, bytes], bool]
    ) -> Iterator[Segmentable | str]:
        """Yield each image, or only its stem if ``is_done`` says that it needs no processing."""


class StoreSource:
    """Activations from a feature store, read a row ahead.

    Parameters
    ----------
    store : Features
    """

    def __init__(self, store: Features) -> None:
        self.spec, self._store = store.spec, store
        self._images = {image.stem: image for image in store.images}

    @property
    def stems(self) -> tuple[str, ...]:
        """The images of the store."""
        return tuple(self._images)

    def images(
        self, stems: Iterable[str], is_done: Callable[[str, bytes], bool]
    ) -> Iterator[Segmentable | str]:
        """Yield each image, or only its stem if ``is_done`` says that it needs no processing."""
        passed, begun = deque[Segmentable | str](), deque[tuple[StoredImage, bytes]]()
        # Rows are read ahead of the image at hand, so which comes next is asked of as late.
        rows = ahead(self._read, self._rows(stems, is_done, passed, begun), 2)
        for first in rows:
            while passed:
                yield passed.popleft()
            image, sha256 = begun.popleft()
            own_rows = chain([first], islice(rows, image.row_count - 1))
            maps = self._checked(own_rows, image, sha256)
            yield Segmentable(image.stem, image.name, image.geometry, sha256, maps)
            deque(own_rows, maxlen=0)  # skip rows that were not consumed: the next image follows
        yield from passed

    def _rows(
        self,
        stems: Iterable[str],
        is_done: Callable[[str, bytes], bool],
        passed: deque[Segmentable | str],
        begun: deque[tuple[StoredImage, bytes]],
    ) -> Iterator[int]:
        """Yield the rows of images; note which images they are, and which have none to read."""
        for image in (self._images[stem] for stem in stems):
            if not image.complete:
                reason = (
                    image.failed or f"not in {self._store.where} yet: finish `dseg extract` first"
                )
                passed.append(Segmentable(image.stem, image.name, None, b"", refused=reason))
                continue
            try:
                sha256 = image.sha256
            except StoreError as error:
                refused = Segmentable(image.stem, image.name, None, b"", refused=str(error))
                passed.append(refused)
                continue
            if is_done(image.stem, sha256):
                passed.append(image.stem)
            else:
                begun.append((image, sha256))
                yield from self._store.rows(image.index)

    def _checked(
        self, rows: Iterator[Mapping[str, Any] | StoreError], image: StoredImage, sha256: bytes
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of an image; raise the error of one, or if it was written meanwhile."""
        for number, row in enumerate(rows, 1):
            if isinstance(row, StoreError):
                raise row
            if number == image.row_count and not image.is_still(sha256):
                raise StoreError(changed_meanwhile([image.name], self._store.where))
            yield row

    def _read(self, row: int) -> Mapping[str, Any] | StoreError:
        try:
            return {size: self._store.map(row, size) for size in self.spec.map_sizes}
        except StoreError as error:  # affects one image only: raised where its maps are consumed
            return error


def changed_meanwhile(names: Sequence[str], where: str) -> str:
    """Say that another run has written images of a store while they were read."""
    return (
        f"{named(names)} of {where} changed while they were read, by another run: repeat the "
        "command when that has ended"
    )


class ImageFilesSource(ABC):
    """Images, without a store: decoded, then run through what a subclass has.

    Parameters
    ----------
    files : ImageFiles
    reading : ReadingSpec
        How they are read.
    white_given : bool
        Whether the user chose which value is white.
    progress : Progress
        Where to tell of the images what a user should know.

    Attributes
    ----------
    names, paths : dict
        Of the images, by stem.
    reading : ReadingSpec
    """

    def __init__(
        self, files: ImageFiles, reading: ReadingSpec, white_given: bool, progress: Progress
    ) -> None:
        self.reading, self._white_given, self._progress = reading, white_given, progress
        self._use(files)

    def _use(self, files: ImageFiles) -> None:
        self.names = files.by_stem
        self.paths = {stem: files.files[name] for stem, name in self.names.items()}

    def of(self, files: ImageFiles) -> Self:
        """Return the source of other images, with the network of this one."""
        other = copy(self)
        other._use(files)
        return other

    @property
    def stems(self) -> tuple[str, ...]:
        """The images of the folder."""
        return tuple(self.paths)

    def images(
        self,
        stems: Iterable[str],
        is_done: Callable[[str, bytes], bool],
        transform: ImageTransform | None = None,
    ) -> Iterator[Segmentable | str]:
        """Yield the images, or the stem of one that is done already.

        ``transform`` may change their pixels first, see `decoded`.
        """
        names = {self.names[stem]: self.paths[stem] for stem in stems}
        survey = survey_images(names, Progress(), self.reading)  # inside the bar of its caller
        self._warn(survey)
        jobs = [
            self._job(number, name, names[name], size)
            for number, (name, size) in enumerate(survey.sizes.items())
        ]
        for name, reason in survey.refused.items():
            yield Segmentable(stem_of(name), name, None, b"", refused=reason)
        images = decoded(
            jobs,
            lambda job, sha256: is_done(stem_of(job.name), sha256),
            transform=transform,
            reading=self.reading,
        )
        yield from _by_image(self._computed(images))

    @abstractmethod
    def _job(self, number: int, name: str, path: Location, size: tuple[int, int]) -> Job:
        """Return how an image of a size is cut into tiles."""

    @abstractmethod
    def _computed(
        self, images: Iterable[Decoded | Unchanged | Refused]
    ) -> Iterator[TileActivations | Unchanged | Refused]:
        """Return what comes of the tiles of images, in their order."""

    def warn_of(self, stems: Iterable[str]) -> None:
        """Tell of images what a user should know, without looking at their pixels."""
        names = {self.names[stem]: self.paths[stem] for stem in stems}
        self._warn(survey_images(names, self._progress, self.reading))

    def _warn(self, survey: ImageSurvey) -> None:
        survey.warn_about_pages(self._progress)
        if not self._white_given:
            advice = "use --white {0}"
            warn_if_dark(survey, self.reading, "the model", advice, self._progress)


def _by_image(
    events: Iterator[TileActivations | Unchanged | Refused],
) -> Iterator[Segmentable | str]:
    """Group the tiles by image, lazily."""
    for event in events:
        name = event.image.job.name if isinstance(event, TileActivations) else event.job.name
        stem = stem_of(name)
        match event:
            case Unchanged():
                yield stem
            case Refused():
                yield Segmentable(stem, name, None, b"", refused=event.reason)
            case TileActivations():
                image, rest = event.image, _rest_of(event, events)
                maps = (row.maps for row in chain([event], rest))
                yield Segmentable(stem, name, image.job.geometry, image.sha256, maps)
                with suppress(UnreadableImage):
                    deque(rest, maxlen=0)


def _rest_of(
    first: TileActivations, events: Iterator[TileActivations | Unchanged | Refused]
) -> Iterator[TileActivations]:
    """Yield the other tiles of an image.

    Raises
    ------
    UnreadableImage
        If the image is read by rows, and turns out to be damaged.
    """
    tile = first
    while not tile.last:
        event = next(events)
        if not isinstance(event, TileActivations):
            raise UnreadableImage(event.reason if isinstance(event, Refused) else "was not read")
        tile = event
        yield tile


class ImageSource(ImageFilesSource):
    """Activations straight from images.

    Parameters
    ----------
    files : ImageFiles
    spec : FeatureSpec
        The model's.
    checkpoint : str, optional
        Where to find the model's checkpoint now.
    device : str, optional
    batch_size : int, optional
        Rows at once; by default 1 on a CPU, 8 elsewhere.
    reading : ReadingSpec
        How they are read: as those that the features were made of.
    white_given : bool
        Whether the user chose which value is white.
    progress : Progress, optional
        Where to tell of the images what a user should know.
    factory : str, optional
        Of a network of one's own, see `restore_backbone`.
    """

    def __init__(
        self,
        files: ImageFiles,
        spec: FeatureSpec,
        checkpoint: str | None,
        device: Any,
        batch_size: int | None,
        reading: ReadingSpec,
        white_given: bool = False,
        progress: Progress | None = None,
        factory: str | None = None,
    ) -> None:
        progress = progress or Progress()
        super().__init__(files, reading, white_given, progress)
        self.spec = spec
        with progress.step("load the network"):
            self._backbone: Backbone = restore_backbone(spec, checkpoint, device, factory)
        self._batch_size = tile_batch_size(batch_size, self._backbone)

    def _job(self, number: int, name: str, path: Location, size: tuple[int, int]) -> Job:
        return Job.for_spec(number, name, path, size, self.spec)

    def _computed(
        self, images: Iterable[Decoded | Unchanged | Refused]
    ) -> Iterator[TileActivations | Unchanged | Refused]:
        return activations(images, self._backbone, self.spec, self._batch_size)


def reading_of(spec: FeatureSpec, white: int | None = None) -> ReadingSpec:
    """Return how the images were read that features were made from.

    Parameters
    ----------
    spec : FeatureSpec
    white : int, optional
        In place of the white of the features.

    Raises
    ------
    InputError
        If the features of several networks were made of images that were read differently.
    """
    each = [ReadingSpec.of(part.preprocessing) for part in spec.parts or (spec,)]
    if white is not None and any(one.levels is not None for one in each):
        raise InputError(
            "--white cannot be used with this model: its features have levels, which say which "
            "value is white"
        )
    readings = {one if white is None else replace(one, white=white) for one in each}
    if len(readings) == 1:
        return readings.pop()
    if len({replace(one, white=FULL) for one in readings}) == 1:
        raise InputError(
            "the model was fitted on stores with different white values for images of 16 "
            f"bits per channel ({', '.join(map(str, sorted(one.white for one in readings)))}): "
            "choose one with --white"
        )
    ways = "; ".join(sorted(one.words() or "as they are" for one in readings))
    raise InputError(
        f"the model was fitted on stores whose images were read in different ways ({ways}): make a "
        "store of each for the new images (dseg extract --layers-from with --part) and give those"
    )
