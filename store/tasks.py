"""Reading tasks, run by Dask: on this machine's threads, or on a cluster beside the data.

A store travels as its path, beside numbers and small arrays; vectors come back.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from .pixels import gather, taps
from .reader import FeatureStore

__all__ = ["TaskRunner", "read_maps", "read_vectors"]


class TaskRunner:
    """Runs independent tasks, few at a time, so that results do not pile up.

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
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (number of the call, result) in order, holding at most two a worker."""
        window = 2 * self.workers
        for first in range(0, len(calls), window):
            part = calls[first : first + window]
            yield from enumerate(self._together(function, part), start=first)

    def _together(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> Sequence[Any]:
        if self.client is not None:
            futures = [self.client.submit(function, *call, pure=False) for call in calls]
            return list(self.client.gather(futures))
        tasks = [dask.delayed(function, pure=False)(*call) for call in calls]
        return list(dask.compute(*tasks, scheduler="threads", num_workers=self.workers))


def read_maps(store: FeatureStore, row: int, size: str) -> NDArray[np.float16]:
    """Return the maps of one row and size: (C, h, w) float16."""
    return store.map(row, size)


def read_vectors(
    store: FeatureStore, row: int, size: str, yx: NDArray[np.int64]
) -> NDArray[np.float16]:
    """Return some pixels' channels of one map size: (k, 2) → (k, C), rounded to float16."""
    maps = store.map(row, size)
    index, weight = taps(yx, store.spec.row_shape, (maps.shape[1], maps.shape[2]))
    return gather(maps, index, weight).astype(np.float16)
