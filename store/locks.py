"""The lock on planning a store: one process at a time, and whoever waits is told on whom.

Some file systems of clusters keep such locks within one machine. So a file that names another
machine is left alone until it is `ABANDONED` seconds old, though nobody holds it here. Where there
are no such locks at all, `filelock.SoftFileLock` stands in: two plans at once would spoil a store.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLock, Timeout

from .errors import StoreError
from .file_lock import NO_LOCKS, Holder, take

__all__ = ["ABANDONED", "locked", "say_nothing"]

POLL_SECONDS = 0.1
TOLD_AFTER = 2.0
UNSIGNED = 2.0  # seconds after which a file that does not say whose it is will not do so any more
ABANDONED = 600.0


def say_nothing(words: str) -> None:
    """Take words, and do not tell them."""


@contextmanager
def locked(
    path: Path,
    busy: str,
    advice: str,
    *,
    patience: float = 0.0,
    say: Callable[[str], None] = say_nothing,
) -> Iterator[None]:
    """Hold the lock of a file, in a folder that exists.

    Parameters
    ----------
    path : Path
    busy, advice : str
        What is said of who holds it, "<busy> <holder>", and what to do then.
    patience : float
        Seconds to wait while another process holds it.
    say : callable
        Told after two seconds on whom this waits.

    Raises
    ------
    StoreError
        If the lock is not free by then.
    """
    started, told, attempt = time.monotonic(), False, _Attempt(path)
    while (release := attempt()) is None:
        waited, holder = time.monotonic() - started, Holder.read(path)
        if waited >= patience and not attempt.only_unsigned:
            raise StoreError(f"{busy} {holder}. {advice}{attempt.remark}")
        if waited >= TOLD_AFTER and not told:
            say(f"{busy} {holder}: waiting up to {patience:.0f} s")
            told = True
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        release()


class _Attempt:
    """Tries to take the lock of a file; each call returns what releases it, or None."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._soft: SoftFileLock | None = None
        self._seen: tuple[Holder, float] | None = None  # what a free file said, since when

    @property
    def only_unsigned(self) -> bool:
        """Whether nobody holds the lock, and its file has yet to be given up: a matter of seconds.

        So patience does not end on what a power failure has left.
        """
        return self._seen is not None and self._seen[0].pid is None

    @property
    def remark(self) -> str:
        """What else to say of a lock that does not go with its process."""
        if self._soft is None:
            return ""
        return (
            f". If that process has ended, remove '{self._path}': this file system cannot detect it"
        )

    def __call__(self) -> Callable[[], None] | None:
        if self._soft is None:
            try:
                return self._native()
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            self._soft = SoftFileLock(self._path)
        try:
            self._soft.acquire(blocking=False)
        except Timeout:
            return None
        return self._soft.release

    def _native(self) -> Callable[[], None] | None:
        lock = take(self._path, doing="")
        if lock is None:
            self._seen = None
            return None
        if not lock.created:
            if self._may_live(lock.holder()):
                lock.release(remove=False)
                return None
            lock.sign()
        return lock.release

    def _may_live(self, holder: Holder) -> bool:
        """Whether who a file names may go on, although nobody holds it here."""
        now = time.monotonic()
        if self._seen is None or self._seen[0] != holder:
            self._seen = holder, now
        if holder.host is None or holder.since is None:
            return now - self._seen[1] < UNSIGNED
        return holder.host != socket.gethostname() and abs(time.time() - holder.since) < ABANDONED
