"""Rows in, images in the store: written in threads, beside the network."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Protocol, Self

import numpy as np

from ...store.write.writer import FeatureWriter
from ..console.progress import Advance
from .inference import Decoded, Refused, RowActivations

__all__ = ["ImageWriting", "Outcome"]

# A core compresses about 200 MB/s, a GPU makes several GB/s; half of the cores are for decoding.
WRITERS = min(8, max(2, (os.cpu_count() or 1) // 2))


class Outcome(Protocol):
    """Where it is recorded what became of each image."""

    extracted: int
    failed: dict[str, str]
    clipped: dict[str, int]


class ImageWriting:
    """Writes rows in threads, few at a time, and records what became of each image.

    Rows of an image come in order, one image after another.
    """

    def __init__(self, writer: FeatureWriter, summary: Outcome, advance: Advance) -> None:
        self._writer, self._summary = writer, summary
        self._advance = advance
        self._pool = ThreadPoolExecutor(WRITERS, "dseg-write")
        self._busy: set[Future[None]] = set()
        self._image = _Image(0)
        self._counting = Lock()  # several threads finish images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            self._collect(0)

    def row(self, row: RowActivations) -> None:
        """Take in a row; its image's last one completes it."""
        number = row.image.job.number
        if row.row == 0:
            self._image = _Image(len(self._writer.spec.layers))
            self._writer.start_image(number)
        image = self._image
        image.nonfinite += row.nonfinite
        image.clipped += row.clipped
        maps = {size: one.cpu().numpy() for size, one in row.maps.items()}
        if not image.nonfinite.any():
            image.rows.append(self._submit(lambda: self._writer.write_row(number, row.row, maps)))
        if row.last:
            self._submit(lambda: self._finish(row.image, image))

    def fail(self, refused: Refused) -> None:
        """Record an image that cannot be used."""
        job, reason = refused.job, refused.reason
        self._writer.fail_image(job.number, reason, refused.sha256)
        with self._counting:
            self._summary.failed[job.name] = reason
            self._advance(1)

    def _submit(self, task: Callable[[], None]) -> Future[None]:
        self._collect(2 * WRITERS - 1)
        future = self._pool.submit(task)
        self._busy.add(future)
        return future

    def _collect(self, most: int) -> None:
        """Wait until at most so many tasks are still under way."""
        while len(self._busy) > most:
            done, self._busy = wait(self._busy, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _finish(self, decoded: Decoded, image: "_Image") -> None:
        job, spec = decoded.job, self._writer.spec
        wait(image.rows)  # they were submitted before this, so none waits for this thread
        if image.nonfinite.any():
            layer = spec.layers[int(image.nonfinite.argmax())]
            reason = (
                f"{int(image.nonfinite.sum())} activations are not finite, most of them in "
                f"{layer}: is the checkpoint damaged?"
            )
            self.fail(Refused(job, reason, decoded.sha256))
            return
        for row in image.rows:
            row.result()
        self._writer.finish_image(
            job.number, sha256=decoded.sha256, nonfinite=image.nonfinite, clipped=image.clipped
        )
        with self._counting:
            self._summary.extracted += 1
            if image.clipped.any():
                self._summary.clipped[job.name] = int(image.clipped.sum())
            self._advance(1)


class _Image:
    """What is known of the image whose rows are coming in."""

    def __init__(self, layers: int) -> None:
        self.rows: list[Future[None]] = []
        self.nonfinite = np.zeros(layers, np.int64)
        self.clipped = np.zeros(layers, np.int64)
