"""Single keys of a Zarr store: the few operations that arrays do not offer.

Everything goes through zarr's ``Store`` interface, so that a store need not be a local folder.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import collect_aiterator, sync

from .errors import StoreError

__all__ = [
    "LOCK",
    "PARTIAL",
    "exclusive",
    "exists",
    "list_folder",
    "list_numbers",
    "remove_folder",
    "remove_partials",
]

LOCK = "plan.lock"
PARTIAL = ".partial"  # how zarr calls a key that is not written to the end
POLL_SECONDS = 0.1


def exists(store: Store, key: str) -> bool:
    """Say whether a key is there."""
    return sync(store.exists(key))


def list_folder(store: Store, folder: str) -> tuple[str, ...]:
    """Return the names directly under a folder; none if there is no such folder."""
    return collect_aiterator(store.list_dir(folder))


def list_numbers(store: Store, folder: str) -> set[int]:
    """Return the keys under a folder that are numbers: the written chunks of a flag array.

    A killed writer leaves ``<key>.<random>.partial`` behind; those are no numbers.
    """
    return {int(name) for name in list_folder(store, folder) if name.isdecimal()}


def remove_folder(store: Store, folder: str) -> None:
    """Remove all keys under a folder; no error if there are none."""
    sync(store.delete_dir(folder))


def remove_partials(store: Store, folder: str) -> None:
    """Remove what killed writers left directly under a folder; only for who alone writes there."""
    for name in list_folder(store, folder):
        if name.endswith(PARTIAL):
            sync(store.delete(f"{folder}/{name}".lstrip("/")))


@contextmanager
def exclusive(store: Store, *, patience: float = 60.0) -> Iterator[None]:
    """Hold the store's plan lock: a key that only one process can create.

    A lock whose process has died on this machine is taken over.

    Parameters
    ----------
    store : zarr Store
    patience : float
        Seconds to wait while another process holds the lock.

    Raises
    ------
    StoreError
        If the lock is not free by then; names its holder, and what to delete should it be gone.
    """
    mine = {
        "token": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.time(),
    }
    deadline = time.monotonic() + patience
    while (holder := _content(store, LOCK)) is not None or not _create(store, LOCK, mine):
        if holder is not None and _is_dead(holder):
            _break(store, holder, mine)
        elif time.monotonic() > deadline:
            raise StoreError(_held(store, holder))
        else:
            time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        sync(store.delete(LOCK))


def _create(store: Store, key: str, content: dict[str, Any]) -> bool:
    """Create a key unless it is there; say whether it is ours now."""
    value = default_buffer_prototype().buffer.from_bytes(json.dumps(content).encode())
    # The partial file may fall to `remove_partials` of another process: then the key is not ours.
    with suppress(FileNotFoundError):
        sync(store.set_if_not_exists(key, value))  # does not say who won: read it back
    return _content(store, key) == content


def _content(store: Store, key: str) -> dict[str, Any] | None:
    value = sync(store.get(key, default_buffer_prototype()))
    if value is None:
        return None
    try:
        return dict(json.loads(value.to_bytes()))
    except ValueError:
        return {}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder ran on this machine and runs no more."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:  # it runs, as another user
        return False
    return False


def _break(store: Store, dead: dict[str, Any], mine: dict[str, Any]) -> None:
    """Remove a dead process's lock.

    Only who creates the key of this one dead lock may remove it, and only after looking again:
    else one process could remove the lock that another has just taken.
    """
    key = f"{LOCK}.broken-{dead.get('token')}"
    if not _create(store, key, mine):
        time.sleep(POLL_SECONDS)
        return
    if _content(store, LOCK) == dead:
        sync(store.delete(LOCK))
    sync(store.delete(key))


def _held(store: Store, holder: dict[str, Any] | None) -> str:
    holder = holder or {}
    age = time.time() - float(holder.get("since", time.time()))
    return (
        f"{store} is being planned by process {holder.get('pid', '?')} on "
        f"{holder.get('host', 'an unknown machine')}, for {age:.0f} s now. If that process is "
        f"gone, delete the key '{LOCK}' in the store and run this again"
    )
