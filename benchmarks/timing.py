"""How long a call takes."""

from collections.abc import Callable
from time import perf_counter

__all__ = ["seconds"]


def seconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start
