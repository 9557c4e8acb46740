"""What an extraction takes, found by extracting a few images into a store that keeps nothing.

The probe is the run itself: the same threads decode, compute and encode, with the same number of
rows at once. So its pace, its bytes a row and its memory are the run's.
"""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from ...extract.protocol import Backbone
from ...store.spec import FeatureSpec
from ...store.urls.location import Location
from ...store.write.stored_size import MeasuringWriter, dense_row_bytes
from ...store.write.writer import PlannedImage
from ..features.inference import Job, TileActivations, activations, decoded
from ..features.sources import reading_of
from ..features.store_writer import ThreadedWriter
from .config import ExtractSummary

__all__ = ["Probe", "probe_of"]

_LEAST, _MOST = 3, 32  # images
_ROWS = 4  # of one image at most: compression differs between images more than within one
_SECONDS = 5.0  # after which the least number of images is enough
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Pace:
    """How fast rows go.

    Parameters
    ----------
    batch : int
        Rows at once.
    first : float
        Seconds until the first batch was computed, which also warms up.
    row : float
        Seconds of a row after that.
    dense : float
        Seconds of a row's dense export, which comes after all.

    Examples
    --------
    >>> Pace(batch=2, first=5, row=1).seconds(10)
    13.0
    """

    batch: int
    first: float
    row: float
    dense: float = 0.0

    def seconds(self, rows: int) -> float:
        """Return the time of so many rows."""
        return self.first + max(0, rows - self.batch) * self.row + rows * self.dense


@dataclass(frozen=True)
class Probe:
    """What the rows of a probe took.

    Parameters
    ----------
    writer : MeasuringWriter
    row_bytes : float
        On disk.
    pace : Pace
    """

    writer: MeasuringWriter
    row_bytes: float
    pace: Pace

    def stored_bytes(self, images: int, rows: int, *, new: bool) -> int:
        """Return what so many images take on disk; in a store that is there, without its tables."""
        wanted = self.writer.store_bytes(images, rows, self.row_bytes)
        return wanted if new else wanted - self.writer.store_bytes(0, 0, 0)


def probe_of(
    paths: Mapping[str, Location],
    planned: Mapping[str, PlannedImage],
    backbone: Backbone,
    spec: FeatureSpec,
    batch: int,
    codec: str,
    *,
    dense: bool,
    most_pixels: int,
) -> Probe:
    """Extract some images, spread over all, and write nothing.

    At least three images and two batches, more where that takes less than five seconds.

    Parameters
    ----------
    paths, planned : mappings by name
    backbone : Backbone
    spec : FeatureSpec
    batch : int
        Rows at once.
    codec : str
    dense : bool
        Whether a dense export is to be made of the store.
    most_pixels : int
        Of an image that is decoded whole.
    """
    names = list(planned)
    chosen = [planned[names[i]] for i in _spread(len(names), max(_MOST, 2 * batch + 1))]
    writer = MeasuringWriter(spec, codec, chosen)
    jobs = [_job(number, paths[image.name], image, spec) for number, image in enumerate(chosen)]
    pace, maps = _run(jobs, writer, backbone, batch, most_pixels)
    row_bytes = sum(writer.row_bytes) / len(writer.row_bytes) if writer.row_bytes else 0.0
    if dense and maps:
        start = time.monotonic()
        row_bytes = dense_row_bytes(spec, codec, maps)
        pace = replace(pace, dense=time.monotonic() - start)
    return Probe(writer, row_bytes, pace)


def _spread(n: int, most: int) -> list[int]:
    """Return up to ``most`` of n numbers, the first few of which are spread out already.

    >>> _spread(100, 5)
    [30, 92, 54, 16, 78]
    >>> sorted(_spread(4, 32))
    [0, 1, 2, 3]
    """
    return list(dict.fromkeys(int(n * ((k + 0.5) * _GOLDEN % 1)) for k in range(most if n else 0)))


def _job(number: int, path: Location, image: PlannedImage, spec: FeatureSpec) -> Job:
    job = Job.for_spec(number, image.name, path, image.size, spec)
    offsets = job.geometry.offsets
    some = offsets[:: -(-len(offsets) // _ROWS)]
    return replace(job, geometry=replace(job.geometry, offsets=some))


def _run(
    jobs: list[Job], writer: MeasuringWriter, backbone: Backbone, batch: int, most_pixels: int
) -> tuple[Pace, dict[str, Any]]:
    """Return how fast rows went, and the maps of the last one."""
    start, first, rows = time.monotonic(), 0.0, 0
    seen, maps = set[str](), dict[str, Any]()
    reading = replace(reading_of(writer.spec), most_pixels=most_pixels)
    images = decoded(jobs, lambda job, sha256: False, reading=reading)
    with (
        ThreadedWriter(writer, ExtractSummary("", len(jobs)), lambda n: None) as writing,
        closing(activations(images, backbone, writer.spec, batch)) as events,  # type: ignore[type-var]
    ):
        for event in events:
            if not isinstance(event, TileActivations):
                continue
            first, rows = first or time.monotonic() - start, rows + 1
            seen.add(event.image.job.name)
            maps = {size: one.cpu().numpy() for size, one in event.maps.items()}
            writing.add_tile(event)
            enough = len(seen) >= _LEAST and rows % batch == 0 and rows >= 2 * batch
            if enough and time.monotonic() - start - first > _SECONDS:
                break
    rest = time.monotonic() - start - first  # with the last rows' writing
    return Pace(batch, first, rest / max(1, rows - batch)), maps
