"""A lock on what is given by URL: an object that is written only if it is not there.

An object cannot be held open, so that a killed process leaves it. It names its process, host and
time: it ends at once if that process was of this machine and is gone, else after `STALE_AFTER`
seconds. A new holder replaces it by its tag, so that of two only one succeeds.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil

from ..errors import StoreError
from .location import UrlPath

__all__ = ["STALE_AFTER", "leased"]

STALE_AFTER = 600.0
_POLL_SECONDS, _NOTIFY_AFTER = 0.5, 2.0


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
    started, notified, me = time.monotonic(), False, _signature()
    while True:
        there = url.objects.tagged(url.key)
        if there is None or not _may_be_alive(there[0]):
            tag = url.objects.put_if(url.key, me, None if there is None else there[1])
            if tag is not None:
                break
            continue
        waited = time.monotonic() - started
        if waited >= patience:
            raise StoreError(f"{busy} {_holder(there[0])}. {advice}")
        if waited >= _NOTIFY_AFTER and not notified:
            say(f"{busy} {_holder(there[0])}: waiting up to {patience:.0f} s")
            notified = True
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        there = url.objects.tagged(url.key)
        if there is not None and there[0] == me:
            url.unlink()


def _signature() -> bytes:
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    return json.dumps({**facts, "key": uuid4().hex}).encode()


def _facts(data: bytes) -> tuple[int, str, float]:
    try:
        facts = json.loads(data)
        return int(facts["pid"]), str(facts["host"]), float(facts["since"])
    except (ValueError, TypeError, KeyError):
        return 0, "", 0.0


def _holder(data: bytes) -> str:
    pid, host, _ = _facts(data)
    return f"process {pid} on {host}"


def _may_be_alive(data: bytes) -> bool:
    pid, host, since = _facts(data)
    if host == socket.gethostname():
        try:
            return bool(psutil.Process(pid).create_time() <= since)
        except psutil.Error:
            return False
    return abs(time.time() - since) < STALE_AFTER
