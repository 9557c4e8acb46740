"""Operations on single keys of a Zarr store that zarr's arrays do not offer.

They use zarr's ``Store`` interface, so the store need not be a local folder.
"""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Thread
from typing import Any, TypeVar

from zarr.abc.store import Store, SupportsSetSync
from zarr.buffer import cpu
from zarr.storage import LocalStore

from ..urls.zarr_store import UrlStore

__all__ = [
    "LOCK",
    "PARTIAL",
    "content_of",
    "exists",
    "head_of",
    "list_folder",
    "list_numbers",
    "put",
    "remove_folder",
    "remove_leftovers",
    "remove_partials",
]

T = TypeVar("T")

LOCK = "plan.lock"
_ASKING_THREADS = 16
PARTIAL = ".partial"  # zarr's suffix of a key that is still being written


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that runs in a thread of its own.

    A thread of its own, because the caller's may run a loop already, as in a notebook. One for all
    calls, because starting it takes longer than looking for a key.
    """
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="dseg store", daemon=True).start()
    return loop


if hasattr(os, "register_at_fork"):  # a forked process has no thread but the one that forked
    os.register_at_fork(after_in_child=_loop.cache_clear)


def _result(operation: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(operation, _loop()).result()


def exists(store: Store, key: str) -> bool:
    """Whether a key exists."""
    if isinstance(store, LocalStore):
        return (store.root / key).exists()
    if isinstance(store, UrlStore):
        return store.has(key)
    return _result(store.exists(key))


def put(store: Store, key: str, data: bytes) -> None:
    """Set a key."""
    value = cpu.Buffer.from_bytes(data)
    if isinstance(store, SupportsSetSync):
        store.set_sync(key, value)
    else:
        _result(store.set(key, value))


def content_of(store: Store, key: str) -> bytes | None:
    """Return the bytes of a key; None if it is missing."""
    try:
        if isinstance(store, LocalStore):
            return (store.root / key).read_bytes()
        if isinstance(store, UrlStore):
            return (store.url / key).read_bytes()
    except FileNotFoundError:
        return None
    found = _result(store.get(key, cpu.buffer_prototype))
    return None if found is None else bytes(found.to_bytes())


def head_of(store: Store, key: str, length: int) -> bytes:
    """Return the first bytes of a key; none of one that is missing, or not in a local folder."""
    if not isinstance(store, LocalStore):
        return b""
    try:
        with (store.root / key).open("rb") as file:
            return file.read(length)
    except FileNotFoundError:
        return b""


def list_folder(store: Store, folder: str) -> tuple[str, ...]:
    """Return the names directly under a folder; none if there is no such folder."""

    async def names() -> tuple[str, ...]:
        return tuple([name async for name in store.list_dir(folder)])

    return _result(names())


def list_numbers(store: Store, folder: str, below: int) -> set[int]:
    """Return the keys under a folder that are numbers: the written chunks of a flag array.

    A killed writer leaves ``<key>.<random>.partial`` behind; those are no numbers. A web server
    need not list its files: it is asked for each of the numbers below ``below``.
    """
    if isinstance(store, UrlStore) and not store.url.objects.can_list:
        with ThreadPoolExecutor(_ASKING_THREADS, "dseg-ask") as pool:
            there = pool.map(lambda number: store.has(f"{folder}/{number}"), range(below))
            return {number for number, found in enumerate(there) if found}
    return {int(name) for name in list_folder(store, folder) if name.isdecimal()}


def remove_folder(store: Store, folder: str) -> None:
    """Remove all keys under a folder; no error if there are none."""
    if isinstance(store, LocalStore):
        store.delete_sync(folder)
    else:
        _result(store.delete_dir(folder))


def remove_partials(store: Store, folder: str) -> None:
    """Remove what killed writers left directly under a folder, while no other run writes there."""
    for name in list_folder(store, folder):
        if name.endswith(PARTIAL):
            _result(store.delete(f"{folder}/{name}".lstrip("/")))


def remove_leftovers(store: Store) -> None:
    """Remove what the locks of older versions left in the root; call it with the lock held."""
    for name in list_folder(store, ""):
        if name.startswith(f"{LOCK}."):
            _result(store.delete(name))
