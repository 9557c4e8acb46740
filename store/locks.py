"""A lock on a file: one process at a time, and whoever waits is told on whom.

The operating system holds the lock, so it goes with its process, however that ends. The file says
in JSON who holds it (``pid``, ``host``, ``since`` in seconds since 1970), and is removed with the
lock; one that a dead process or a power failure has left is held by nobody, and is taken.

Some file systems of clusters keep such locks within one machine. So a file that names another
machine is left alone until it is `ABANDONED` seconds old, though nobody holds it here. Where there
are no such locks at all, `filelock.SoftFileLock` stands in.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import SoftFileLock, Timeout, lock_descriptor

from .errors import DsegError, StoreError

__all__ = ["ABANDONED", "Holder", "locked", "say_nothing"]

POLL_SECONDS = 0.1
TOLD_AFTER = 2.0
UNSIGNED = 2.0  # seconds after which a file that does not say whose it is will not do so any more
ABANDONED = 600.0

_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
# What lies there under the name may come from elsewhere: a link is not followed, a pipe not opened.
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_MOST = 4096  # bytes of a file that are read

Release = Callable[[], None]


def say_nothing(words: str) -> None:
    """Take words, and do not tell them."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as far as the file says.

    Parameters
    ----------
    pid : int or None
    host : str or None
    since : float or None
        Seconds since 1970.
    """

    pid: int | None = None
    host: str | None = None
    since: float | None = None

    @classmethod
    def read(cls, path: Path) -> "Holder":
        """Read who holds the lock of a file; all None if it does not say."""
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | _FLAGS & ~os.O_RDWR)
            try:
                return cls.of(_content(descriptor))
            finally:
                os.close(descriptor)
        return cls()

    @classmethod
    def of(cls, content: bytes) -> "Holder":
        """Return what a file's content says; `filelock.SoftFileLock` writes lines, not JSON."""
        text = content.decode(errors="replace").strip()
        try:
            said = json.loads(text)
            return cls(int(said["pid"]), str(said["host"]), float(said["since"]))
        except (ValueError, TypeError, KeyError, OverflowError):
            lines = text.splitlines()
            if len(lines) > 1 and lines[0].isdecimal():
                return cls(int(lines[0]), lines[1])
            return cls()

    def __str__(self) -> str:
        if self.pid is None:
            return "an unknown process"
        told = f"process {self.pid} on {self.host}"
        return told if self.since is None else f"{told}, for {time.time() - self.since:.0f} s now"

    def may_live(self, free_for: float, abandoned: float) -> bool:
        """Whether the holder may go on although its lock was free for some seconds."""
        if self.host is None or self.since is None:
            return free_for < UNSIGNED
        return self.host != socket.gethostname() and abs(time.time() - self.since) < abandoned


@contextmanager
def locked(
    path: Path,
    busy: str,
    advice: str,
    *,
    patience: float = 0.0,
    say: Callable[[str], None] = say_nothing,
    abandoned: float = ABANDONED,
    error: type[DsegError] = StoreError,
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
    abandoned : float
        Seconds after which a file that names another machine is taken although the locks of this
        machine may not reach there.
    error : type of DsegError

    Raises
    ------
    DsegError
        Of that type, if the lock is not free by then.
    """
    started, told, attempt = time.monotonic(), False, _Attempt(path, abandoned)
    while (release := attempt()) is None:
        waited, holder = time.monotonic() - started, Holder.read(path)
        if waited >= patience and not attempt.only_unsigned:
            raise error(f"{busy} {holder}. {advice}{attempt.remark}")
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

    def __init__(self, path: Path, abandoned: float) -> None:
        self._path, self._abandoned = path, abandoned
        self._soft: SoftFileLock | None = None
        self._seen: tuple[bytes, float] | None = None  # what a free file said, since when

    @property
    def only_unsigned(self) -> bool:
        """Whether nobody holds the lock, and its file has yet to be given up: a matter of seconds.

        So patience does not end on what a power failure has left.
        """
        return self._seen is not None and Holder.of(self._seen[0]).pid is None

    @property
    def remark(self) -> str:
        """What else to say of a lock that does not go with its process."""
        if self._soft is None:
            return ""
        return f". If it is gone, remove '{self._path}': this file system cannot tell"

    def __call__(self) -> Release | None:
        if self._soft is None:
            try:
                return self._native()
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            self._soft = SoftFileLock(self._path)
        try:
            self._soft.acquire(blocking=False)
        except Timeout:
            return None
        return self._soft.release

    def _native(self) -> Release | None:
        opened = self._open()
        if opened is None:
            return None
        descriptor, created = opened
        taken = False
        try:
            if created:  # before the lock: so that no file is seen without a name for long
                _sign(descriptor)
            taken = self._lock(descriptor, created)
        except OSError as error:
            if created and error.errno in _NO_LOCKS:
                _remove(self._path, descriptor)  # or the stand-in would take it for a lock
            raise
        finally:
            if not taken:
                os.close(descriptor)
        return partial(_release, self._path, descriptor) if taken else None

    def _open(self) -> tuple[int, bool] | None:
        """Return a descriptor of the file, and whether this created it."""
        try:
            return os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            pass
        try:
            return os.open(self._path, _FLAGS), False
        except FileNotFoundError:  # released in between
            return None

    def _lock(self, descriptor: int, created: bool) -> bool:
        """Lock the file and sign it; say whether it is ours then."""
        if not lock_descriptor(descriptor, blocking=False):
            self._seen = None
            return False
        if not _is_at(descriptor, self._path):  # released, and so removed, since it was opened
            return False
        if not created and self._may_live(_content(descriptor)):
            return False
        _sign(descriptor)
        return True

    def _may_live(self, content: bytes) -> bool:
        now = time.monotonic()
        if self._seen is None or self._seen[0] != content:
            self._seen = content, now
        return Holder.of(content).may_live(now - self._seen[1], self._abandoned)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _content(descriptor: int) -> bytes:
    """Return what a file says; on Windows nobody but the holder may read the first byte."""
    for start in (0, 1):
        with suppress(PermissionError):
            os.lseek(descriptor, start, os.SEEK_SET)
            return os.read(descriptor, _MOST)
    return b""


def _sign(descriptor: int) -> None:
    """Write into the file who holds it, after a blank: see `_content`."""
    said = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b" " + json.dumps(said).encode())


def _release(path: Path, descriptor: int) -> None:
    """Remove the file while it is locked, so that nobody takes a lock on a file without a name."""
    try:
        if os.name != "nt":
            _remove(path, descriptor)
    finally:
        os.close(descriptor)
    if os.name == "nt":  # where a file that is open cannot be removed
        with suppress(OSError):  # another process has opened it, and will remove it
            path.unlink()


def _remove(path: Path, descriptor: int) -> None:
    """Remove the file unless another one has its name by now."""
    if _is_at(descriptor, path):
        path.unlink(missing_ok=True)
