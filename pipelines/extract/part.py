"""The passes over some images: of a whole run, or of a part that a cluster's worker does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from ...extract.feature_spec import feature_spec
from ...extract.images.reading_spec import MOST_PIXELS, ReadingSpec
from ...extract.protocol import Backbone
from ...store.errors import DsegError
from ...store.shared_work import SharedWork
from ...store.spec import FeatureSpec
from ...store.urls.claims import claimed_place
from ...store.urls.location import Location
from ...store.write.writer import FeatureWriter
from ..cluster.once import once, one_at_a_time
from ..cluster.parts import refuse_unseen
from ..console.progress import Advance
from ..features.inference import (
    Job,
    Refused,
    TileActivations,
    Unchanged,
    activations,
    decoded,
    tile_batch_size,
)
from ..features.sources import reading_of
from ..features.store_writer import ThreadedWriter
from .config import ExtractConfig
from .feature_choice import features_of

__all__ = ["ExtractPart", "Outcome", "PartImage", "Passes", "extract_part"]


@dataclass
class Outcome:
    """What became of some images.

    Parameters
    ----------
    extracted : int
    unchanged : list of int
        Numbers of those that the store had already.
    failed : dict
        Reason by name of image.
    clipped : dict
        Values beyond float16's range by name of image, where there were any.
    """

    extracted: int = 0
    unchanged: list[int] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        """Add what became of other images."""
        self.extracted += other.extracted
        self.unchanged += other.unchanged
        self.failed |= other.failed
        self.clipped |= other.clipped


class _Bar:
    """Advances a bar by images, or by tiles.

    Parameters
    ----------
    advance : callable
    by_tile : bool
    """

    def __init__(self, advance: Advance, by_tile: bool) -> None:
        self._advance, self._by_tile = advance, by_tile
        self._done = 0  # tiles of the image at hand

    def image(self, count: int) -> None:
        """Tell that images are finished."""
        if not self._by_tile:
            self._advance(count)

    def tile(self, tile: TileActivations) -> None:
        """Tell that a tile is finished."""
        if self._by_tile:
            self._done = 0 if tile.last else tile.index + 1
            self._advance(1)

    def rest(self, job: Job) -> None:
        """Tell that the rest of an image's tiles need not be made."""
        if self._by_tile:
            self._advance(len(job.geometry.offsets) - self._done)
            self._done = 0


@dataclass(frozen=True)
class Passes:
    """A network, and the store that its activations go to.

    Parameters
    ----------
    writer : FeatureWriter
    backbone : Backbone
    batch : int
        Tiles that go through the network at once.
    most_pixels : int
        Of an image that is decoded whole.
    """

    writer: FeatureWriter
    backbone: Backbone
    batch: int
    most_pixels: int = MOST_PIXELS

    @property
    def reading(self) -> ReadingSpec:
        """How the images are read."""
        return replace(reading_of(self.writer.spec), most_pixels=self.most_pixels)

    @property
    def counts_tiles(self) -> bool:
        """Whether progress is told in tiles: a large image may take hours."""
        return self.writer.spec.fit == "tile"

    def over(
        self,
        jobs: Sequence[Job],
        outcome: Outcome,
        advance: Advance,
        shared: SharedWork,
        say: Callable[[str], None],
    ) -> None:
        """Decode images, run the network and write, all at the same time.

        Parameters
        ----------
        jobs : sequence of Job
        outcome : Outcome
            Is added to.
        advance : callable
            Called after each image with 1, or if it `counts_tiles`, after some with their number.
        shared : SharedWork
            What other runs have begun is left to them.
        say : callable
            Called with a message when it waits for another run.
        """
        by_name = {job.name: job for job in jobs}
        self._over(jobs, outcome, advance, shared)
        while shared.elsewhere:
            for name in shared.left(say):
                self._over([by_name[name]], outcome, advance, shared)

    def _over(
        self, jobs: Sequence[Job], outcome: Outcome, advance: Advance, shared: SharedWork
    ) -> None:
        writer = self.writer

        def is_done(job: Job, sha256: bytes) -> bool:
            return not shared.begin(job.name, lambda: writer.is_current(job.number, sha256))

        images = decoded(jobs, is_done, reading=self.reading)
        bar = _Bar(advance, self.counts_tiles)
        with ThreadedWriter(writer, outcome, bar.image, shared.end) as writing:
            for event in activations(images, self.backbone, writer.spec, self.batch):
                match event:
                    case Unchanged():
                        if event.job.name not in shared.elsewhere:
                            outcome.unchanged.append(event.job.number)
                            bar.image(1)
                            bar.rest(event.job)
                    case Refused():
                        writing.fail(event)
                        bar.rest(event.job)
                    case TileActivations():
                        writing.add_tile(event)
                        bar.tile(event)


@dataclass(frozen=True)
class PartImage:
    """An image of a planned store.

    Parameters
    ----------
    number : int
    name : str
    path : path
    size : (height, width)
    """

    number: int
    name: str
    path: Location
    size: tuple[int, int]

    def job(self, spec: FeatureSpec) -> Job:
        """Return how it is read for the features of a spec."""
        return Job.for_spec(self.number, self.name, self.path, self.size, spec)


@dataclass(frozen=True)
class ExtractPart:
    """What a worker is told.

    Parameters
    ----------
    run : str
        Names the run.
    config : ExtractConfig
        With absolute paths.
    target : path
        The store, planned.
    key : str
        Of the run's claim, see `claims`.
    images : tuple of PartImage
    """

    run: str
    config: ExtractConfig
    target: Location
    key: str
    images: tuple[PartImage, ...]

    def __len__(self) -> int:
        return len(self.images)

    def singles(self) -> list[Self]:
        """Return parts of one image each."""
        return [replace(self, images=(one,)) for one in self.images]


def extract_part(part: ExtractPart) -> Outcome:
    """Do a part, in a worker.

    Images that cannot be read are recorded in the outcome.

    Raises
    ------
    DsegError
        If the worker does not see the files, or has another network.
    """
    outcome, config = Outcome(), part.config
    with one_at_a_time():
        refuse_unseen(config.images, part.target)
        passes = once(part.run, lambda: _passes(part))
        jobs = [one.job(passes.writer.spec) for one in part.images]
        with (
            claimed_place(config.out, part.key, "dseg extract", in_parent=True) as claim,
            SharedWork.of(claim.take) as shared,
        ):
            passes.over(jobs, outcome, lambda _: None, shared, lambda _: None)
    return outcome


def _passes(part: ExtractPart) -> Passes:
    backbone, _ = features_of(part.config)
    writer = FeatureWriter(part.target)
    spec = writer.spec
    made = feature_spec(backbone, spec.fit, spec.overlap, reading_of(spec))
    if made.hash != spec.hash:
        differences = "; ".join(made.differences(spec, ("the worker's network", "the store")))
        raise DsegError(f"a worker has another network than the one that began: {differences}")
    batch = tile_batch_size(part.config.batch_size, backbone)
    return Passes(writer, backbone, batch, part.config.reading.max_pixels)
