"""Batches of feature vectors for training, in an order that is a pure function of a seed.

One epoch of a member is a permutation of the N pixels, cut into batches; the last incomplete batch
is dropped, as published. If all features are in memory, each member has its own permutation of all
pixels. In rounds, all members share the pools, and each has its own permutation of each pool.

The order depends on nothing else (number of members, threads, what is held in memory, except for
rounds), so a run can be repeated exactly, and more members do not change the first ones.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, pairwise
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..read.protocol import Features
from .batch import Batch
from .dask_tasks import PIECE_BYTES, TaskRunner, read_maps, read_vectors
from .permutation import KeyedPermutation, derive_key
from .pixel_set import PixelSet
from .reduction import Reduction
from .residence import MapTables, ResidencePlan, Table, VectorTable
from .rounds import rounds_of_epoch

__all__ = ["BatchOrder", "PixelSampler", "sample_vectors"]

# Positions per evaluation of a keyed permutation: numpy's overhead is paid once for many batches.
_BLOCK = 4096

Advance = Callable[[int], None]


@dataclass(frozen=True)
class BatchOrder:
    """Which pixels lie in which batch.

    Parameters
    ----------
    members : int
        Each batch has one part for each member, drawn in the member's own order.
    batch_size : int
        Pixels a batch; where there are fewer pixels, one batch of all.
    seed : int
    """

    members: int = 10
    batch_size: int = 64
    seed: int = 0


class PixelSampler:
    """Draws batches from a store, within a given memory.

    Parameters
    ----------
    store : Features
    pixels : PixelSet
        The labelled pixels.
    plan : ResidencePlan
        What to hold; from `plan_residence`.
    order : BatchOrder
    runner : TaskRunner, optional
        Where the reading tasks run.
    device : torch.device
    reduction : Reduction, optional
        Applied once, to the features that are read; ``plan`` and batches then have its ``spec``.
    """

    def __init__(
        self,
        store: Features,
        pixels: PixelSet,
        plan: ResidencePlan,
        order: BatchOrder,
        *,
        runner: TaskRunner | None = None,
        device: str | torch.device = "cpu",
        reduction: Reduction | None = None,
    ) -> None:
        self.plan, self.members, self.seed = plan, order.members, order.seed
        self.spec = store.spec if reduction is None else reduction.spec
        self.n, self.dims = pixels.n, self.spec.dims
        self._reduction = reduction
        self.batch_size = min(order.batch_size, pixels.n)
        self._store, self._pixels = store, pixels
        self._runner = runner or TaskRunner()
        self._device = torch.device(device)
        self._table: Table | None = None

    @property
    def batches_per_epoch(self) -> int:
        """How many whole batches a member sees in an epoch, at most."""
        return self.n // self.batch_size

    @property
    def tasks(self) -> int:
        """How many times `load` calls ``advance``: once for each row and map size."""
        resident = self.plan.residence != "rounds"
        return len(self._pixels.rows) * len(self._store.spec.map_sizes) if resident else 0

    def load(self, advance: Advance | None = None) -> None:
        """Read the features that stay in memory; none for rounds. `batches` does it if need be."""
        if self.plan.residence != "rounds":
            self._table = self._read_table(advance)

    def _read_table(self, advance: Advance | None = None) -> Table:
        if self.plan.residence == "vectors":
            return VectorTable(self._gather(np.arange(self.n), advance).to(self._device))
        return self._read_maps(advance)

    def batches(self) -> Iterator[Batch]:
        """Yield batches without end, epoch after epoch."""
        if self.plan.residence == "rounds":
            yield from self._batches_in_rounds()
            return
        table = self._table or self._read_table()
        for epoch in count():
            for index in self._permuted_batches(self.n, f"epoch {epoch}"):
                yield self._batch(epoch, table, index, index)

    def _permuted_batches(self, n: int, phase: str) -> Iterator[NDArray[np.int64]]:
        """Yield positions in [0, n) of shape (members, batch), in each member's own order."""
        orders = [
            KeyedPermutation(n, derive_key(self.seed, "member", member, phase))
            for member in range(self.members)
        ]
        size = self.batch_size
        block = max(1, _BLOCK // size) * size
        end = n // size * size
        for first in range(0, end, block):
            positions = np.arange(first, min(first + block, end))
            drawn = np.stack([order(positions) for order in orders])
            for start in range(0, drawn.shape[1], size):
                yield drawn[:, start : start + size]

    def _batch(
        self, epoch: int, table: Table, positions: NDArray[np.int64], index: NDArray[np.int64]
    ) -> Batch:
        features = table.gather(positions.ravel()).reshape(*positions.shape, self.dims)
        return Batch(epoch, features, index)

    def _batches_in_rounds(self) -> Iterator[Batch]:
        """Yield the batches of one pool while a thread fills the next one."""
        stop = Event()
        with ThreadPoolExecutor(1, "dseg-pool") as filler:
            rounds = self._rounds()
            filling = filler.submit(self._fill, next(rounds), stop)
            try:
                while True:
                    epoch, number, index, vectors = filling.result()
                    filling = filler.submit(self._fill, next(rounds), stop)
                    table = VectorTable(vectors.to(self._device))
                    del vectors  # on a GPU the table is a copy of it
                    phase = f"epoch {epoch} round {number}"
                    for positions in self._permuted_batches(len(index), phase):
                        yield self._batch(epoch, table, positions, index[positions])
                    del table  # before the next pool comes: two are in memory, not three
            finally:
                stop.set()  # training ended: the pool that is being filled is not needed

    def _rounds(self) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
        for epoch in count():
            rounds = rounds_of_epoch(self._pixels.image_starts, self.plan.pool, self.seed, epoch)
            for number, index in enumerate(rounds):
                yield epoch, number, index

    def _fill(
        self, drawn: tuple[int, int, NDArray[np.int64]], stop: Event
    ) -> tuple[int, int, NDArray[np.int64], Tensor]:
        epoch, number, index = drawn
        return epoch, number, index, self._gather(index, stop=stop.is_set)

    def _gather(
        self,
        index: NDArray[np.int64],
        advance: Advance | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Tensor:
        """Read the vectors of some pixels by Dask tasks: (k,) -> (k, D) float16.

        Grouped by row, so that each chunk is decompressed once, however its pixels are ordered.
        """
        vectors = torch.empty(len(index), self.dims, dtype=torch.float16)
        position, yx = self._pixels.locate(index)
        order = np.argsort(position, kind="stable")
        bounds = np.flatnonzero(np.diff(position[order], prepend=-1, append=-1))
        jobs = [
            job
            for a, b in pairwise(bounds)
            for job in self._make_jobs(position[order[a]], order[a:b])
        ]

        def use(i: int, part: NDArray[np.float16]) -> None:
            if self._reduction is not None:
                part = self._reduction.vectors(jobs[i].size, part)
            self._scatter(vectors, jobs[i], torch.from_numpy(part))
            if advance and jobs[i].first:
                advance(1)

        calls = [(self._store, job.row, job.size, yx[job.output], job.grid) for job in jobs]
        self._runner.run(read_vectors, calls, use, stop)
        return vectors

    def _make_jobs(self, position: int, output: NDArray[np.int64]) -> Iterator["_Job"]:
        """Yield one task for each map size of a row, or several if it would return much data."""
        row, grid = int(self._pixels.rows[position]), self._pixels.grid(position)
        for size in self._store.spec.map_sizes:
            channels, _, _ = self._store.spec.map_shape(size)
            max_pixels = max(1, PIECE_BYTES // (2 * channels))
            for start in range(0, len(output), max_pixels):
                yield _Job(row, size, grid, output[start : start + max_pixels], start == 0)

    def _scatter(self, vectors: Tensor, job: "_Job", part: Tensor) -> None:
        """Copy the channels of one task into the feature vectors."""
        output = torch.from_numpy(job.output)
        for columns, channels in self.spec.columns_of(job.size):
            vectors[:, columns].index_copy_(0, output, part[:, channels])

    def _read_maps(self, advance: Advance | None) -> MapTables:
        spec, rows = self.spec, self._pixels.rows
        dtype = torch.float32 if self.plan.residence == "maps32" else torch.float16
        tables = MapTables(spec, self._pixels, dtype, self._device)
        jobs = [(position, size) for position in range(len(rows)) for size in spec.map_sizes]
        calls: Sequence[tuple[Any, ...]] = [
            (self._store, int(rows[position]), size) for position, size in jobs
        ]

        def use(i: int, maps: NDArray[np.float16]) -> None:
            position, size = jobs[i]
            if self._reduction is not None:
                maps = self._reduction.maps(size, maps)
            tables.put(position, size, maps)
            if advance:
                advance(1)

        self._runner.run(read_maps, calls, use)
        return tables


def sample_vectors(
    store: Features,
    pixels: PixelSet,
    count: int,
    seed: int,
    runner: TaskRunner,
    advance: Advance | None = None,
) -> dict[str, NDArray[np.float16]]:
    """Read the features of a random sample of pixels, drawn by a keyed permutation.

    Parameters
    ----------
    store : Features
    pixels : PixelSet
    count : int
        How many; at most all are read.
    seed : int
    runner : TaskRunner
    advance : callable, optional
        Called with 1 for each row and map size read.

    Returns
    -------
    dict of arrays of shape (n, C), float16
        By map size, channels as in the array ``features/<map size>``; pixels in ascending order.
    """
    order = KeyedPermutation(pixels.n, derive_key(seed, "sample"))
    position, yx = pixels.locate(np.sort(order(np.arange(min(count, pixels.n)))))
    starts = np.flatnonzero(np.diff(position, prepend=-1, append=-1))
    sizes = store.spec.map_sizes
    sample = {
        size: np.empty((len(position), store.spec.map_shape(size)[0]), np.float16) for size in sizes
    }
    jobs = [(size, slice(a, b)) for a, b in pairwise(starts) for size in sizes]
    calls = [
        (store, int(pixels.rows[at]), size, yx[part], pixels.grid(at))
        for size, part in jobs
        for at in [position[part.start]]
    ]

    def use(i: int, read: NDArray[np.float16]) -> None:
        size, part = jobs[i]
        sample[size][part] = read
        if advance:
            advance(1)

    runner.run(read_vectors, calls, use)
    return sample


@dataclass(frozen=True)
class _Job:
    """One reading task: some pixels of one row and map size."""

    row: int
    size: str
    grid: tuple[int, int]  # on which its pixels are numbered
    output: NDArray[np.int64]  # (k,) their rows in the array of vectors that is filled
    first: bool  # of its row and map size: progress counts those, not the tasks
