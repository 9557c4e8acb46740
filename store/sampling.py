"""Batches of feature vectors for training, in orders that are pure functions of a seed.

One epoch of a member is a permutation of the N pixels, cut into batches; the last incomplete batch
is dropped, as published. With everything resident, each member walks its own permutation of all
pixels; in rounds, all members share the pools and each walks its own permutation of each pool.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .keyed import KeyedPermutation, derive_key
from .pixelset import PixelSet
from .reader import FeatureStore
from .residence import MapTables, ResidencePlan, Table, VectorTable
from .rounds import rounds_of_epoch
from .tasks import TaskRunner, read_maps, read_vectors

__all__ = ["Batch", "PixelSampler"]

# Positions per evaluation of a keyed permutation: many batches at once amortise numpy's overhead.
_BLOCK = 4096

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Batch:
    """One batch a member.

    Parameters
    ----------
    epoch : int
        From 0.
    features : tensor of shape (members, batch, D), float32
    index : array of shape (members, batch), int64
        The pixels' numbers, as in the `PixelSet`.
    """

    epoch: int
    features: Tensor
    index: NDArray[np.int64]


class PixelSampler:
    """Draws batches from a store, within a given memory.

    Parameters
    ----------
    store : FeatureStore
    pixels : PixelSet
        The labelled pixels.
    plan : ResidencePlan
        What to hold; from `plan_residence`.
    members : int
        Batches drawn at a time, one a member, each in an order of its own.
    batch_size : int
        Pixels a batch; where there are fewer pixels, one batch of all.
    seed : int
    runner : TaskRunner
        Where the reading tasks run.
    device : torch.device
    """

    def __init__(
        self,
        store: FeatureStore,
        pixels: PixelSet,
        plan: ResidencePlan,
        *,
        members: int = 10,
        batch_size: int = 64,
        seed: int = 0,
        runner: TaskRunner | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.plan, self.members, self.seed = plan, members, seed
        self.n, self.dims = pixels.n, store.spec.dims
        self.batch_size = min(batch_size, pixels.n)
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
        """How many chunks `load` reads."""
        resident = self.plan.residence != "rounds"
        return len(self._pixels.rows) * len(self._store.spec.map_sizes) if resident else 0

    def load(self, advance: Advance | None = None) -> None:
        """Read what stays resident; for rounds, nothing. `batches` does so itself if need be."""
        if self.plan.residence != "rounds":
            self._table = self._loaded(advance)

    def _loaded(self, advance: Advance | None = None) -> Table:
        if self.plan.residence == "vectors":
            return VectorTable(self._gathered(np.arange(self.n), advance).to(self._device))
        return self._maps(advance)

    def batches(self) -> Iterator[Batch]:
        """Yield batches without end, epoch after epoch."""
        if self.plan.residence == "rounds":
            yield from self._batches_in_rounds()
            return
        table = self._table or self._loaded()
        for epoch in count():
            for index in self._walk(self.n, f"epoch {epoch}"):
                yield self._batch(epoch, table, index, index)

    def _walk(self, n: int, what: str) -> Iterator[NDArray[np.int64]]:
        """Yield (members, batch) positions in [0, n), each member's in an order of its own."""
        orders = [
            KeyedPermutation(n, derive_key(self.seed, "member", member, what))
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
        self, epoch: int, table: Table, place: NDArray[np.int64], index: NDArray[np.int64]
    ) -> Batch:
        features = table.gather(place.ravel()).reshape(*place.shape, self.dims)
        return Batch(epoch, features, index)

    def _batches_in_rounds(self) -> Iterator[Batch]:
        """Train on one pool while the next fills."""
        with ThreadPoolExecutor(1, "dseg-pool") as filler:
            rounds = self._rounds()
            filling = filler.submit(self._fill, next(rounds))
            while True:
                epoch, number, index, vectors = filling.result()
                filling = filler.submit(self._fill, next(rounds))
                table = VectorTable(vectors.to(self._device))
                del vectors
                for place in self._walk(len(index), f"epoch {epoch} round {number}"):
                    yield self._batch(epoch, table, place, index[place])
                del table

    def _rounds(self) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
        for epoch in count():
            rounds = rounds_of_epoch(self._pixels.image_starts, self.plan.pool, self.seed, epoch)
            for number, index in enumerate(rounds):
                yield epoch, number, index

    def _fill(
        self, drawn: tuple[int, int, NDArray[np.int64]]
    ) -> tuple[int, int, NDArray[np.int64], Tensor]:
        epoch, number, index = drawn
        return epoch, number, index, self._gathered(index)

    def _gathered(self, index: NDArray[np.int64], advance: Advance | None = None) -> Tensor:
        """Gather the vectors of some pixels by Dask tasks: (k,) → (k, D) float16.

        One task a (row, map size): it reads that chunk and returns its pixels' channels.
        """
        spec, vectors = self._store.spec, torch.empty(len(index), self.dims, dtype=torch.float16)
        position, yx = self._pixels.locate(index)
        order = np.argsort(position, kind="stable")
        bounds = np.flatnonzero(np.diff(position[order], prepend=-1, append=-1))
        groups = [order[a:b] for a, b in pairwise(bounds)]
        jobs = [(group, size) for group in groups for size in spec.map_sizes]
        calls = [
            (self._store, int(self._pixels.rows[position[group[0]]]), size, yx[group])
            for group, size in jobs
        ]
        for i, part in self._runner.run(read_vectors, calls):
            group, size = jobs[i]
            self._place(vectors, torch.from_numpy(group), size, torch.from_numpy(part))
            if advance:
                advance(1)
        return vectors

    def _place(self, vectors: Tensor, group: Tensor, size: str, part: Tensor) -> None:
        """Copy one task's channels to their places in the feature vectors."""
        spec, start = self._store.spec, 0
        for layer in spec.layers_of(size):
            channels = spec.layers[layer].channels
            target = vectors[:, spec.offsets[layer] : spec.offsets[layer] + channels]
            target[group] = part[:, start : start + channels]
            start += channels

    def _maps(self, advance: Advance | None) -> MapTables:
        spec, rows = self._store.spec, self._pixels.rows
        dtype = torch.float32 if self.plan.residence == "maps32" else torch.float16
        tables = MapTables(spec, self._pixels, dtype, self._device)
        jobs = [(position, size) for position in range(len(rows)) for size in spec.map_sizes]
        calls: Sequence[tuple[Any, ...]] = [
            (self._store, int(rows[position]), size) for position, size in jobs
        ]
        for i, maps in self._runner.run(read_maps, calls):
            tables.put(*jobs[i], maps)
            if advance:
                advance(1)
        return tables
