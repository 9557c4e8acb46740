"""How long a call takes."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

__all__ = ["median_seconds", "seconds"]


def seconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def median_seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the median time of a call that computes on a device, after one that warms up."""

    def finished() -> None:
        call()
        _synchronise(device)

    finished()
    return median(seconds(finished) for _ in range(rounds))


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()
