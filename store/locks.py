"""The lock on planning a store: one process at a time; a message says for whom the others wait.

Some file systems of clusters keep locks within one machine. So a lock file that names another
machine is respected until it is `STALE_AFTER` seconds old, even if no process on this machine holds
it. If the file system has no locks at all, `filelock.SoftFileLock` is used instead: two planning
runs at once would corrupt a store.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from filelock import SoftFileLock, Timeout

from .errors import StoreError
from .file_lock import NO_LOCKS, Holder, try_lock

__all__ = ["STALE_AFTER", "ignore_message", "is_abandoned", "locked", "wait_for"]

T = TypeVar("T")

POLL_SECONDS = 0.1
NOTIFY_AFTER = 2.0
# A holder writes its name right after creating the file: one that is empty for longer than these
# seconds was left by a crash.
SIGN_TIMEOUT = 2.0
STALE_AFTER = 600.0


def ignore_message(words: str) -> None:
    """Ignore a message: the default of ``say``."""


def wait_for(
    attempt: Callable[[], T | None],
    holder: Callable[[], object],
    busy: str,
    advice: Callable[[], str | None],
    *,
    patience: float,
    say: Callable[[str], None],
    poll_seconds: float = POLL_SECONDS,
) -> T:
    """Return what an attempt gives as soon as it gives something.

    Parameters
    ----------
    attempt : callable
        Returns None while another process holds the lock.
    holder : callable
        Returns who that is, for messages.
    busy : str
    advice : callable
        For the message "<busy> <holder>. <advice>"; None: wait on, for it cannot take long.
    patience : float
        Seconds to wait.
    say : callable
        Called with a message after two seconds of waiting.
    poll_seconds : float
        Between two attempts.

    Raises
    ------
    StoreError
        If the lock is not free in time.
    """
    started, notified = time.monotonic(), False
    while (found := attempt()) is None:
        waited, who = time.monotonic() - started, holder()
        if waited >= patience and (words := advice()) is not None:
            raise StoreError(f"{busy} {who}. {words}")
        if waited >= NOTIFY_AFTER and not notified:
            say(f"{busy} {who}: waiting up to {patience:.0f} s")
            notified = True
        time.sleep(poll_seconds)
    return found


@contextmanager
def locked(
    path: Path,
    busy: str,
    advice: str,
    *,
    patience: float = 0.0,
    say: Callable[[str], None] = ignore_message,
) -> Iterator[None]:
    """Hold the lock on a file, in a folder that exists.

    Parameters
    ----------
    path : Path
    busy, advice : str
        For the message "<busy> <holder>. <advice>" if another process holds it.
    patience : float
        Seconds to wait for another process.
    say : callable
        Called with a message after two seconds of waiting.

    Raises
    ------
    StoreError
        If the lock is not free in time.
    """
    attempt = _Attempt(path)

    def advised() -> str | None:
        return None if attempt.only_unsigned else f"{advice}{attempt.hint}"

    holder = partial(Holder.read, path)
    release = wait_for(attempt, holder, busy, advised, patience=patience, say=say)
    try:
        yield
    finally:
        release()


def is_abandoned(path: Path) -> bool:
    """Whether a lock file that is there was left by a process that has ended; it stays there."""
    try:
        lock = try_lock(path) if path.exists() else None
    except OSError:
        return False
    if lock is None:
        return False
    holder = lock.holder()
    lock.release(remove=lock.created)
    if holder.host is None or holder.since is None:
        return time.time() - path.stat().st_mtime >= SIGN_TIMEOUT
    return not _may_be_elsewhere(holder)


def _may_be_elsewhere(holder: Holder) -> bool:
    """Whether a file that nobody holds on this machine may be held on another."""
    since = holder.since or 0.0
    return holder.host != socket.gethostname() and abs(time.time() - since) < STALE_AFTER


class _Attempt:
    """One attempt after the other to lock a file; a call returns the function that releases it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._soft_lock: SoftFileLock | None = None
        self._observed: tuple[Holder, float] | None = None  # who a file names, and since when

    @property
    def only_unsigned(self) -> bool:
        """Whether the file is held by nobody and does not name its holder.

        It becomes ours within `SIGN_TIMEOUT`, so `locked` waits for that even with no patience
        left.
        """
        return self._observed is not None and self._observed[0].pid is None

    @property
    def hint(self) -> str:
        """What to add to the message about a lock that outlives its process."""
        if self._soft_lock is None:
            return ""
        return (
            f". If that process has ended, remove '{self._path}': this file system cannot detect it"
        )

    def __call__(self) -> Callable[[], None] | None:
        if self._soft_lock is None:
            try:
                return self._native()
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            self._soft_lock = SoftFileLock(self._path)
        try:
            self._soft_lock.acquire(blocking=False)
        except Timeout:
            return None
        return self._soft_lock.release

    def _native(self) -> Callable[[], None] | None:
        lock = try_lock(self._path, doing="")
        if lock is None:
            self._observed = None
            return None
        if not lock.created:
            if self._may_be_alive(lock.holder()):
                lock.release(remove=False)
                return None
            lock.sign()
        return lock.release

    def _may_be_alive(self, holder: Holder) -> bool:
        """Whether the process of a file that nobody holds on this machine may be alive."""
        now = time.monotonic()
        if self._observed is None or self._observed[0] != holder:
            self._observed = holder, now
        if holder.host is None or holder.since is None:
            return now - self._observed[1] < SIGN_TIMEOUT
        return _may_be_elsewhere(holder)
