"""A lock on what is given by URL: an object that is written only if it is not there.

An object cannot be held open, so that a killed process leaves it. It names its process, host and
time: it ends at once if that process was of this machine and is gone, else `locks.STALE_AFTER`
seconds later. A new holder replaces it by its tag, so that of two only one succeeds.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil

from ..file_lock import Holder
from ..locks import STALE_AFTER, wait_for
from .location import UrlPath

__all__ = ["leased"]

_POLL_SECONDS = 0.5  # each is a request


@contextmanager
def leased(
    url: UrlPath, busy: str, advice: str, *, patience: float, say: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock on an object; see `dseg.store.locks.locked`.

    Raises
    ------
    StoreError
        If the lock is not free in time.
    UrlError
        If the object store does not answer, or cannot write on condition.
    """
    me = _signature()

    def attempt() -> str | None:
        there = url.objects.tagged(url.key)
        if there is not None and _may_be_alive(Holder.of(there[0])):
            return None
        return url.objects.put_if(url.key, me, None if there is None else there[1])

    def holder() -> Holder:
        there = url.objects.tagged(url.key)
        return Holder() if there is None else Holder.of(there[0])

    wait_for(
        attempt,
        holder,
        busy,
        lambda: advice,
        patience=patience,
        say=say,
        poll_seconds=_POLL_SECONDS,
    )
    try:
        yield
    finally:
        there = url.objects.tagged(url.key)
        if there is not None and there[0] == me:
            url.unlink()


def _signature() -> bytes:
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    return json.dumps({**facts, "key": uuid4().hex}).encode()


def _may_be_alive(holder: Holder) -> bool:
    if holder.pid is None or holder.since is None:
        return False
    if holder.host == socket.gethostname():
        try:
            return bool(psutil.Process(holder.pid).create_time() <= holder.since)
        except (psutil.Error, ValueError, OverflowError):
            return False
    return abs(time.time() - holder.since) < STALE_AFTER
