"""Reading tasks, run by Dask: in threads of this process, or on a cluster.

To a cluster a store is sent as its path, with numbers and small arrays; vectors are sent back.
"""

import os
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import dask
import numpy as np
from dask import threaded
from numpy.typing import NDArray

from ..errors import StoreError
from ..read.interpolation import gather, taps
from ..read.protocol import Features

__all__ = ["PIECE_BYTES", "TaskRunner", "read_maps", "read_vectors"]

PIECE_BYTES = 2**24
"""Bytes that one task of vectors returns at most."""

# Bytes of maps that are transposed at a time: they fit in the processor's cache.
_BLOCK_BYTES = 2**21

UseResult = Callable[[int, Any], None]


class TaskRunner:
    """Runs independent tasks and consumes each result at once, so that they do not fill memory.

    Parameters
    ----------
    client : distributed.Client, optional
        The cluster to run on; without one, threads of this process.
    workers : int, optional
        Tasks that run at once; by default the machine's cores, at most 4, or the cluster's threads.
    """

    def __init__(self, client: Any = None, workers: int | None = None) -> None:
        self.client = client
        if workers is None:
            workers = sum(client.nthreads().values()) if client else min(4, os.cpu_count() or 1)
        self.workers = max(1, workers)

    def run(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        use: UseResult,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make all calls; pass the number and the result of each to ``use``.

        Parameters
        ----------
        function : callable
            Defined at the top level of a module, for workers of a cluster import it.
        calls : sequence of tuples
            The arguments of each call.
        use : callable
            Called in any order; without a cluster by several threads at once.
        stop : callable, optional
            Called between tasks: True skips the calls not yet made.
        """
        if self.client is not None:
            self._on_cluster(function, calls, use, stop)
            return

        def call(number: int) -> None:
            use(number, function(*calls[number]))

        # In windows, so that `stop` is called in between, and Dask's graph stays small.
        window = 8 * self.workers
        for first in range(0, len(calls), window):
            if stop():
                return
            numbers = range(first, min(first + window, len(calls)))
            tasks = [dask.delayed(call, pure=False)(number) for number in numbers]
            # Not scheduler="threads": by a name Dask looks for a cluster first, and for that
            # imports distributed, which is slow and may not be installed.
            dask.compute(*tasks, scheduler=threaded.get, num_workers=self.workers)

    def _on_cluster(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        use: UseResult,
        stop: Callable[[], bool],
    ) -> None:
        """Keep two calls for each worker submitted; fetch one result at a time.

        All at once, results would pile up in the memory of the workers.
        """
        from distributed import KilledWorker, as_completed

        remaining, number_of = iter(range(len(calls))), dict[str, int]()

        def submit(number: int) -> Any:
            future = self.client.submit(function, *calls[number], pure=False)
            number_of[future.key] = number
            return future

        running = as_completed(map(submit, islice(remaining, 2 * self.workers)))
        for future in running:
            if stop():
                return
            try:
                use(number_of.pop(future.key), future.result())
            except KilledWorker as error:
                raise StoreError(
                    "a worker of the Dask cluster died repeatedly while reading features "
                    f"({error}). Does each worker have memory for a few chunks?"
                ) from error
            for number in islice(remaining, 1):
                running.add(submit(number))


def read_maps(store: Features, row: int, size: str) -> NDArray[np.float16]:
    """Return the maps of one row and size: (C, h, w) float16."""
    return store.map(row, size)


def read_vectors(
    store: Features, row: int, size: str, yx: NDArray[np.int64], grid: tuple[int, int]
) -> NDArray[np.float16]:
    """Return some pixels' channels of one map size: (k, 2) → (k, C), rounded to float16.

    Parameters
    ----------
    store : Features
    row : int
    size : str
        The map size.
    yx : array of shape (k, 2), int64
        Line and column on the grid.
    grid : (height, width)
        What the row is divided into.
    """
    maps = store.map(row, size)
    channels, height, width = maps.shape
    index, weight = taps(yx, grid, (height, width))
    vectors = np.empty((len(yx), channels), np.float16)
    block = max(1, _BLOCK_BYTES // (2 * height * width))
    for start in range(0, channels, block):
        part = slice(start, start + block)
        vectors[:, part] = gather(maps[part], index, weight)
    return vectors
