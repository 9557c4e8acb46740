"""What several threads keep of what they read, up to a number of bytes."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["BoundedCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """The first values that fit; nothing is dropped for another.

    So a pass over more than fits, again and again, reads no value twice that was kept once.

    Parameters
    ----------
    n_bytes : int
        What all kept values may take.
    size_of : callable
        Bytes of a value.
    """

    def __init__(self, n_bytes: int, size_of: Callable[[V], int]) -> None:
        self._room, self._size_of = n_bytes, size_of
        self._kept: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K, load: Callable[[], V]) -> V:
        """Return a value, loaded if it is not kept."""
        if key in self._kept:
            return self._kept[key]
        value = load()
        size = self._size_of(value)
        with self._lock:
            if key not in self._kept and size <= self._room:
                self._room -= size
                self._kept[key] = value
        return value
