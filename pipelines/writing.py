"""Rows in, images in the store: written in threads, beside the network."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..store.writer import FeatureWriter
from .progress import Advance, Progress
from .stream import Decoded, Refused, RowActivations

__all__ = ["ImageWriting", "Outcome"]

WRITERS = 2


class Outcome(Protocol):
    """Where it is recorded what became of each image."""

    extracted: int
    failed: dict[str, str]
    clipped: dict[str, int]


class ImageWriting:
    """Writes images in threads, few at a time, and records what became of them."""

    def __init__(
        self, writer: FeatureWriter, summary: Outcome, progress: Progress, advance: Advance
    ) -> None:
        self._writer, self._summary = writer, summary
        self._progress, self._advance = progress, advance
        self._pool = ThreadPoolExecutor(WRITERS, "dseg-write")
        self._busy: set[Future[None]] = set()
        self._image = _Rows(len(writer.spec.layers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            self._collect(0)

    def row(self, row: RowActivations) -> None:
        """Take in a row; its image's last one sends the image to be written."""
        self._image.add(row)
        if row.last:
            image, self._image = self._image, _Rows(len(self._writer.spec.layers))
            self._collect(2 * WRITERS - 1)
            self._busy.add(self._pool.submit(self._write, row.image, image))

    def fail(self, refused: Refused) -> None:
        """Record an image that cannot be used."""
        job, reason = refused.job, refused.reason
        self._writer.fail_image(job.number, reason, refused.sha256)
        self._summary.failed[job.name] = reason
        self._progress.warn(f"{job.name}: {reason}")
        self._advance(1)

    def _collect(self, most: int) -> None:
        """Wait until at most so many images are still being written."""
        while len(self._busy) > most:
            done, self._busy = wait(self._busy, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _write(self, image: Decoded, rows: "_Rows") -> None:
        job, spec = image.job, self._writer.spec
        if rows.nonfinite.any():
            layer = spec.layers[int(rows.nonfinite.argmax())]
            reason = (
                f"{int(rows.nonfinite.sum())} activations are not finite, most in block "
                f"{layer.block} at step {layer.timestep}: is the checkpoint sound?"
            )
            self.fail(Refused(job, reason, image.sha256))
            return
        self._writer.write_image(
            job.number,
            rows.maps,
            sha256=image.sha256,
            nonfinite=rows.nonfinite,
            clipped=rows.clipped,
        )
        self._summary.extracted += 1
        if rows.clipped.any():
            self._summary.clipped[job.name] = int(rows.clipped.sum())
        self._advance(1)


class _Rows:
    """The rows of one image as they come in."""

    def __init__(self, layers: int) -> None:
        self.maps: list[dict[str, NDArray[np.float16]]] = []
        self.nonfinite = np.zeros(layers, np.int64)
        self.clipped = np.zeros(layers, np.int64)

    def add(self, row: RowActivations) -> None:
        self.maps.append({size: maps.cpu().numpy() for size, maps in row.maps.items()})
        self.nonfinite += row.nonfinite
        self.clipped += row.clipped
