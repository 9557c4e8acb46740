"""Run a network over images, decoding in threads ahead of it; shared by extract and predict."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from threading import get_ident
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...extract.concatenated import ConcatenatedBackbone
from ...extract.images.network_input import ImageRows
from ...extract.images.pixels import ArrayPixels, ImagePixels
from ...extract.images.reading import PLAIN, UnreadableImage, held, open_pixels, sha256_of
from ...extract.images.reading_spec import ReadingSpec
from ...extract.latent_rows import Latents
from ...extract.layers.float16 import to_float16
from ...extract.protocol import Backbone
from ...store.errors import InputError
from ...store.geometry import Geometry, plan_tiles
from ...store.spec import FeatureSpec
from ...store.urls.location import Location

__all__ = [
    "ImageTransform",
    "Decoded",
    "Job",
    "Refused",
    "TileActivations",
    "Unchanged",
    "activations",
    "ahead",
    "decoded",
    "Tile",
    "tile_batch_size",
    "tiles_of",
]

T = TypeVar("T")
R = TypeVar("R")
ImageTransform = Callable[["Job", NDArray[np.uint8]], NDArray[np.uint8]]


class Rows(Protocol):
    """What a network takes of an image: an array a tile."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Job:
    """One image to be read: its number in the run, name, file and tiles.

    For several networks ``shapes`` has the tile shape of each. ``latents`` is of each network, or
    of the only one: None, unless it is a generator, which takes latents in place of tiles.
    """

    number: int
    name: str
    path: Location
    geometry: Geometry
    shapes: tuple[tuple[int, int], ...] = ()
    latents: tuple[Latents | None, ...] = (None,)

    @classmethod
    def for_spec(
        cls, number: int, name: str, path: Location, size: tuple[int, int], spec: FeatureSpec
    ) -> Self:
        """Return the job that makes the features of a spec of an image of that size."""
        geometry = plan_tiles(size, spec.row_shape, spec.fit, spec.overlap)
        shapes = tuple(part.row_shape for part in spec.parts)
        latents = tuple(Latents.of(part) for part in spec.parts or (spec,))
        return cls(number, name, path, geometry, shapes, latents)


@dataclass(frozen=True)
class Decoded:
    """A decoded image, in tiles; for several networks, the tiles of each are in ``others``."""

    job: Job
    sha256: bytes
    tiles: Rows
    others: tuple[Rows, ...] = ()


@dataclass(frozen=True)
class Unchanged:
    """An image that need not be processed again."""

    job: Job


@dataclass(frozen=True)
class Refused:
    """An image that cannot be used, and why."""

    job: Job
    reason: str
    sha256: bytes | None = None


@dataclass(frozen=True)
class Tile:
    """A tile of an image as each network takes it: arrays (C, H, W), or of a generator (Z,)."""

    image: Decoded
    number: int
    inputs: tuple[NDArray[np.float32], ...]


def _no_layers() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class TileActivations:
    """The activations of one tile.

    Parameters
    ----------
    image : Decoded
    index : int
        Number of the tile within its image.
    maps : dict of tensors (C, h, w)
        By map size, channels in feature order, float16; of a student its scores, float32.
    nonfinite, clipped : arrays of shape (layers,), int64
        Values that were not finite, and that were beyond float16's range.
    """

    image: Decoded
    index: int
    maps: dict[str, Tensor]
    nonfinite: NDArray[np.int64] = field(default_factory=_no_layers)
    clipped: NDArray[np.int64] = field(default_factory=_no_layers)

    @property
    def last(self) -> bool:
        """Whether this is the last tile of its image."""
        return self.index == len(self.image.tiles) - 1


def tile_batch_size(requested: int | None, backbone: Backbone) -> int:
    """Return how many tiles the network takes at once: as requested, else 1 on a CPU, else 8."""
    return requested or (1 if str(backbone.device) == "cpu" else 8)


def decoded(
    jobs: Iterable[Job],
    is_done: Callable[[Job, bytes], bool],
    workers: int = 2,
    transform: ImageTransform | None = None,
    reading: ReadingSpec = PLAIN,
) -> Iterator[Decoded | Unchanged | Refused]:
    """Read images in threads, a few ahead of the one that is asked for, in order.

    ``transform`` may put other pixels in place of an image's own, of any size: the network sees
    those, and the mask still has the image's size.
    """

    def decode(job: Job) -> Decoded | Unchanged | Refused:
        sha256 = None
        try:
            path = held(job.path)
            sha256 = sha256_of(path)
            if is_done(job, sha256):
                return Unchanged(job)
            image = open_pixels(path, reading, _least(job))
            if image.size != job.geometry.size:
                return Refused(job, "the file changed while it was read", sha256)
            if transform is not None:
                image = ArrayPixels(_transformed(job, image.array(), transform))
            return _with_rows(job, sha256, image, replace(job.geometry, size=image.size))
        except (UnreadableImage, OSError) as error:
            return Refused(job, str(error), sha256)

    yield from ahead(decode, jobs, workers)


def _least(job: Job) -> tuple[int, int] | None:
    """Return the size above which an image is only made smaller; None if it is cut into tiles."""
    if len(job.geometry.offsets) > 1 or job.geometry.resized == job.geometry.size:
        return None
    shapes = (job.geometry.resized, *job.shapes)
    return max(h for h, _ in shapes), max(w for _, w in shapes)


def _transformed(
    job: Job, image: NDArray[np.uint8], transform: ImageTransform
) -> NDArray[np.uint8]:
    if any(job.latents):
        raise InputError(
            f"'{job.path}' cannot be altered for a generator, which sees the latents of images, "
            "not their pixels"
        )
    return transform(job, image)


def _with_rows(job: Job, sha256: bytes, image: ImagePixels, geometry: Geometry) -> Decoded:
    """Return an image with what each network takes of it."""
    latents = [None if one is None else one.row(job.path, sha256) for one in job.latents]
    if latents[0] is not None and not job.shapes:
        return Decoded(job, sha256, latents[0])
    planned = [geometry, *(_planned(geometry, shape) for shape in job.shapes)]
    image.prepare(one.resized for one in planned if one.resized != one.size)
    tiles = ImageRows(image, geometry)
    others = (
        _image_tiles(image, tiles, geometry, shape) if row is None else row
        for shape, row in zip(job.shapes, latents, strict=False)
    )
    return Decoded(job, sha256, tiles, tuple(others))


def _image_tiles(
    image: ImagePixels, tiles: ImageRows, geometry: Geometry, shape: tuple[int, int]
) -> ImageRows:
    """Return the tiles of an image for a network with another tile shape."""
    if shape == geometry.row_shape:
        return tiles
    return ImageRows(image, _planned(geometry, shape))


def _planned(geometry: Geometry, shape: tuple[int, int]) -> Geometry:
    """Return how an image is seen by a network of another tile shape than the first."""
    return geometry if shape == geometry.row_shape else plan_tiles(geometry.size, shape, "squash")


def ahead(
    function: Callable[[T], R], items: Iterable[T], workers: int, limit: int | None = None
) -> Iterator[R]:
    """Map in threads, in order; at most ``limit`` results, by default two a worker, are under way.

    Items are taken from the iterable in the caller's thread, while earlier ones are processed.
    """
    futures: deque[Future[R]] = deque()
    limit = 2 * workers if limit is None else limit
    owner, pool = get_ident(), ThreadPoolExecutor(workers, "dseg-ahead")
    try:
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) > limit:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
        # One that an error has left half-way may be collected in any thread, even in Zarr's event
        # loop, for which the pool's threads wait: that one must not wait for them.
        pool.shutdown(wait=get_ident() == owner)


def activations(
    images: Iterable[Decoded | Unchanged | Refused],
    backbone: Backbone,
    spec: FeatureSpec,
    batch_size: int,
) -> Iterator[TileActivations | Unchanged | Refused]:
    """Run the network over the tiles of several images, ``batch_size`` tiles at a time.

    Results keep the order of the input, so the tiles of an image come one after the other.
    """
    pending: list[Tile | Unchanged | Refused] = []
    tiles = 0
    for item in _by_tile(images):
        pending.append(item)
        tiles += isinstance(item, Tile)
        if tiles in (0, batch_size):  # no batch to wait for, or a full one
            yield from _run_batch(pending, backbone, spec)
            pending, tiles = [], 0
    yield from _run_batch(pending, backbone, spec)


def _by_tile(
    images: Iterable[Decoded | Unchanged | Refused],
) -> Iterator[Tile | Unchanged | Refused]:
    for image in images:
        if isinstance(image, Decoded):
            yield from tiles_of(image)
        else:
            yield image


def tiles_of(image: Decoded) -> Iterator[Tile | Refused]:
    """Yield the tiles of an image, each for all networks; an image read by rows may be damaged."""
    for tile in range(len(image.tiles)):
        try:
            yield Tile(image, tile, tuple(r[tile] for r in image.others or (image.tiles,)))
        except UnreadableImage as error:
            yield Refused(image.job, str(error), image.sha256)
            return


def _computed(backbone: Backbone, batch: list[Tile]) -> list[Tensor]:
    """Run the network, or each of several, on tiles of some images."""
    if not batch:
        return []
    if isinstance(backbone, ConcatenatedBackbone):
        count = len(backbone.backbones)
        return backbone(*(_stack([tile.inputs[n] for tile in batch]) for n in range(count)))
    return backbone(_stack([tile.inputs[0] for tile in batch]))


def _stack(batch: list[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(batch))


def _run_batch(
    pending: list[Tile | Unchanged | Refused], backbone: Backbone, spec: FeatureSpec
) -> Iterator[TileActivations | Unchanged | Refused]:
    """Run the network on the tiles as one batch; other items are passed on in their place."""
    batch = [item for item in pending if isinstance(item, Tile)]
    layers = _computed(backbone, batch)
    numbers = count()
    for item in pending:
        if not isinstance(item, Tile):
            yield item
            continue
        i = next(numbers)
        halves = [to_float16(layer[i]) for layer in layers]
        maps = {
            size: torch.cat([halves[layer][0] for layer in spec.layers_of(size)])
            for size in spec.map_sizes
        }
        nonfinite, clipped = (np.array([half[k] for half in halves], np.int64) for k in (1, 2))
        yield TileActivations(item.image, item.number, maps, nonfinite, clipped)
