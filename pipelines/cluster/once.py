"""What a worker makes once for all parts of a run: its network, its store."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

__all__ = ["once", "one_at_a_time"]

T = TypeVar("T")

_lock = threading.RLock()
_made: tuple[str, Any] | None = None


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Have a process work on one part at a time, with all the threads that it has.

    A worker of several threads would otherwise run the network as often at once, each run with
    memory of its own.
    """
    with _lock:
        threads = _threads()
        if threads is not None:
            torch.set_num_threads(threads)
        yield


def _threads() -> int | None:
    """Return how many threads a worker's network may use; None outside of workers."""
    from distributed import get_worker

    try:
        state: Any = get_worker().state
    except ValueError:
        return None
    if state.nthreads > 1:
        return int(state.nthreads)
    return int(os.environ.get("OMP_NUM_THREADS", 1))


def once(key: str, make: Callable[[], T]) -> T:
    """Return what was made for a run; that of the run before is forgotten.

    Parameters
    ----------
    key : str
        Of the run.
    make : callable
    """
    global _made
    with _lock:
        if _made is None or _made[0] != key:
            _made = None  # first free what the other run held
            _made = (key, make())
        made: T = _made[1]
        return made
