"""Images in, activations out, with decoding ahead of the network: shared by extract and predict."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...extract.backbone import Backbone
from ...extract.concatenated import ConcatenatedBackbone
from ...extract.images.levels import FULL
from ...extract.images.network_input import ImageRows
from ...extract.images.reading import UnreadableImage, read_image, sha256_of
from ...extract.layers.float16 import to_float16
from ...store.geometry import Geometry, plan_rows
from ...store.spec import FeatureSpec

__all__ = [
    "Alter",
    "Decoded",
    "Job",
    "Refused",
    "RowActivations",
    "Unchanged",
    "activations",
    "ahead",
    "decoded",
    "rows_at_once",
]

T = TypeVar("T")
R = TypeVar("R")
Alter = Callable[["Job", NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Job:
    """One image to be read: its number in the run, name, file and rows.

    Where several networks see it, ``shapes`` are the rows of each (then whole images).
    """

    number: int
    name: str
    path: Path
    geometry: Geometry
    shapes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Decoded:
    """An image ready for the network; of several networks, as each sees it in ``others``."""

    job: Job
    sha256: bytes
    rows: ImageRows
    others: tuple[ImageRows, ...] = ()


@dataclass(frozen=True)
class Unchanged:
    """An image that is done already."""

    job: Job


@dataclass(frozen=True)
class Refused:
    """An image that cannot be used, and why."""

    job: Job
    reason: str
    sha256: bytes | None = None


@dataclass(frozen=True)
class RowActivations:
    """The activations of one row.

    Parameters
    ----------
    image : Decoded
    row : int
        Number of the row within its image.
    maps : dict of tensors (C, h, w), float16
        By map size, channels in feature order.
    nonfinite, clipped : arrays of shape (layers,), int64
        Values that were not finite, and that were beyond float16's range.
    """

    image: Decoded
    row: int
    maps: dict[str, Tensor]
    nonfinite: NDArray[np.int64]
    clipped: NDArray[np.int64]

    @property
    def last(self) -> bool:
        """Whether this is its image's last row."""
        return self.row == len(self.image.rows) - 1


def rows_at_once(asked: int | None, backbone: Backbone) -> int:
    """Return how many rows go through the network together: as asked, else 1 on a CPU, else 8."""
    return asked or (1 if str(backbone.device) == "cpu" else 8)


def decoded(
    jobs: Iterable[Job],
    is_done: Callable[[Job, bytes], bool],
    workers: int = 2,
    alter: Alter | None = None,
    white: int = FULL,
) -> Iterator[Decoded | Unchanged | Refused]:
    """Read images in threads, a few ahead of the one that is asked for, in order.

    ``alter`` may put other pixels in place of an image's own, of any size: the network sees those,
    and the mask still has the image's size. ``white`` is that of images of 16 bits a channel.
    """

    def decode(job: Job) -> Decoded | Unchanged | Refused:
        sha256 = None
        try:
            sha256 = sha256_of(job.path)
            if is_done(job, sha256):
                return Unchanged(job)
            image = read_image(job.path, white)
            if image.shape[:2] != job.geometry.size:
                return Refused(job, "the file changed while it was read", sha256)
            if alter is not None:
                image = alter(job, image)
            geometry = replace(job.geometry, size=(image.shape[0], image.shape[1]))
            rows = ImageRows(image, geometry)
            others = (_seen(image, rows, geometry, shape) for shape in job.shapes)
            return Decoded(job, sha256, rows, tuple(others))
        except (UnreadableImage, OSError) as error:
            return Refused(job, str(error), sha256)

    yield from ahead(decode, jobs, workers)


def _seen(
    image: NDArray[np.uint8], rows: ImageRows, geometry: Geometry, shape: tuple[int, int]
) -> ImageRows:
    """Return an image as a network sees it whose rows have a shape of their own."""
    if shape == geometry.row_shape:
        return rows
    return ImageRows(image, plan_rows(geometry.size, shape, "squash"))


def ahead(
    function: Callable[[T], R], items: Iterable[T], workers: int, most: int | None = None
) -> Iterator[R]:
    """Map in threads, in order; at most ``most`` results, by default two a worker, are under way.

    The items themselves are made in the caller's thread, each beside the work on those before it.
    """
    waiting: deque[Future[R]] = deque()
    most = 2 * workers if most is None else most
    with ThreadPoolExecutor(workers, "dseg-ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def activations(
    images: Iterable[Decoded | Unchanged | Refused],
    backbone: Backbone,
    spec: FeatureSpec,
    batch_size: int,
) -> Iterator[RowActivations | Unchanged | Refused]:
    """Run the network over rows of several images, ``batch_size`` rows at a time.

    All comes out in the order it came in, so that nothing stands between the rows of an image.
    """
    pending: list[tuple[Decoded, int] | Unchanged | Refused] = []
    rows = 0
    for item in _by_row(images):
        pending.append(item)
        rows += isinstance(item, tuple)
        if rows in (0, batch_size):  # no batch to wait for, or a full one
            yield from _run(pending, backbone, spec)
            pending, rows = [], 0
    yield from _run(pending, backbone, spec)


def _by_row(
    images: Iterable[Decoded | Unchanged | Refused],
) -> Iterator[tuple[Decoded, int] | Unchanged | Refused]:
    for image in images:
        if isinstance(image, Decoded):
            yield from ((image, row) for row in range(len(image.rows)))
        else:
            yield image


def _computed(backbone: Backbone, batch: list[tuple[Decoded, int]]) -> list[Tensor]:
    """Send rows of some images through the network, or each network."""
    if not batch:
        return []
    if isinstance(backbone, ConcatenatedBackbone):
        count = len(backbone.backbones)
        return backbone(*(_stack([(i.others[n], row) for i, row in batch]) for n in range(count)))
    return backbone(_stack([(image.rows, row) for image, row in batch]))


def _stack(batch: list[tuple[ImageRows, int]]) -> Tensor:
    return torch.from_numpy(np.stack([rows[row] for rows, row in batch]))


def _run(
    pending: list[tuple[Decoded, int] | Unchanged | Refused], backbone: Backbone, spec: FeatureSpec
) -> Iterator[RowActivations | Unchanged | Refused]:
    """Send the rows through the network as one batch; what is no row passes by in its place."""
    batch = [item for item in pending if isinstance(item, tuple)]
    layers = _computed(backbone, batch)
    numbers = count()
    for item in pending:
        if not isinstance(item, tuple):
            yield item
            continue
        (image, row), i = item, next(numbers)
        halves = [to_float16(layer[i]) for layer in layers]
        maps = {
            size: torch.cat([halves[layer][0] for layer in spec.layers_of(size)])
            for size in spec.map_sizes
        }
        nonfinite, clipped = (np.array([half[k] for half in halves], np.int64) for k in (1, 2))
        yield RowActivations(image, row, maps, nonfinite, clipped)
