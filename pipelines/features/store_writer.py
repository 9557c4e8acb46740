"""Write activations to a store in threads, while the network runs."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Protocol, Self

import numpy as np

from ...store.write.writer import FeatureWriter
from ..console.progress import Advance
from .inference import Decoded, Refused, TileActivations

__all__ = ["ThreadedWriter", "ExtractionLog"]

# A core compresses about 200 MB/s, a GPU makes several GB/s; half of the cores are for decoding.
WRITERS = min(8, max(2, (os.cpu_count() or 1) // 2))


class ExtractionLog(Protocol):
    """Records the outcome of each image: `ExtractSummary`."""

    extracted: int
    failed: dict[str, str]
    clipped: dict[str, int]


class ThreadedWriter:
    """Writes tiles in threads, a bounded number at a time, and records the outcome of each image.

    The tiles of an image come in order, one image after another.

    Parameters
    ----------
    writer : FeatureWriter
    summary : ExtractionLog
    advance : callable
        Called with 1 after each image.
    done : callable
        Called with the name of each image that is written, or that failed.
    """

    def __init__(
        self,
        writer: FeatureWriter,
        summary: ExtractionLog,
        advance: Advance,
        done: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._writer, self._summary = writer, summary
        self._advance, self._done = advance, done
        self._pool = ThreadPoolExecutor(WRITERS, "dseg-write")
        self._pending: set[Future[None]] = set()
        self._image = _OpenImage(0)
        self._summary_lock = Lock()  # several threads finish images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            self._wait_until(0)

    def add_tile(self, tile: TileActivations) -> None:
        """Write a tile; the last one completes its image."""
        number = tile.image.job.number
        if tile.index == 0:
            self._image = _OpenImage(len(self._writer.spec.layers))
            self._writer.start_image(number)
        image = self._image
        image.nonfinite += tile.nonfinite
        image.clipped += tile.clipped
        maps = {size: one.cpu().numpy() for size, one in tile.maps.items()}
        if not image.nonfinite.any():
            image.writes.append(
                self._submit(lambda: self._writer.write_row(number, tile.index, maps))
            )
        if tile.last:
            self._submit(lambda: self._finish(tile.image, image))

    def fail(self, refused: Refused) -> None:
        """Record an image that could not be extracted."""
        job, reason = refused.job, refused.reason
        self._writer.fail_image(job.number, reason, refused.sha256)
        self._done(job.name)
        with self._summary_lock:
            self._summary.failed[job.name] = reason
            self._advance(1)

    def _submit(self, task: Callable[[], None]) -> Future[None]:
        self._wait_until(2 * WRITERS - 1)
        future = self._pool.submit(task)
        self._pending.add(future)
        return future

    def _wait_until(self, limit: int) -> None:
        """Wait until at most so many tasks are still under way."""
        while len(self._pending) > limit:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _finish(self, decoded: Decoded, image: "_OpenImage") -> None:
        job, spec = decoded.job, self._writer.spec
        wait(image.writes)  # no deadlock: they were submitted before this task
        if image.nonfinite.any():
            layer = spec.layers[int(image.nonfinite.argmax())]
            reason = (
                f"{int(image.nonfinite.sum())} activations are not finite, most of them in "
                f"{layer}: is the checkpoint damaged?"
            )
            self.fail(Refused(job, reason, decoded.sha256))
            return
        for write in image.writes:
            write.result()
        self._writer.finish_image(
            job.number, sha256=decoded.sha256, nonfinite=image.nonfinite, clipped=image.clipped
        )
        self._done(job.name)
        with self._summary_lock:
            self._summary.extracted += 1
            if image.clipped.any():
                self._summary.clipped[job.name] = int(image.clipped.sum())
            self._advance(1)


class _OpenImage:
    """The image whose tiles are being written."""

    def __init__(self, layers: int) -> None:
        self.writes: list[Future[None]] = []
        self.nonfinite = np.zeros(layers, np.int64)
        self.clipped = np.zeros(layers, np.int64)
