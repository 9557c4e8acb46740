"""A lock file, locked by the operating system: the lock ends when its process ends.

This holds however the process ends: a file that a crash left behind is locked by nobody and can be
locked again. The file may say in JSON who holds it: ``pid``, ``host``, ``since`` in seconds since
1970, and what that process is ``doing``. It is removed when the lock is released.

Used by the lock on planning (`locks`) and by the claims of runs on their folders (`claims`).
"""

import errno
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from .texts import parse_json

__all__ = ["NO_LOCKS", "FileLock", "Holder", "try_lock"]

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of a file system that has no locks."""

# Whatever has this name may have been put there by others: do not follow a symbolic link, and do
# not wait for the other end of a pipe.
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_MAX_BYTES = 4096  # read at most, of a file that may be anything


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, as far as the file says.

    Parameters
    ----------
    pid : int or None
    host : str or None
    since : float or None
        Seconds since 1970.
    doing : str
        What it does, such as "dseg fit"; empty if the file does not say.
    """

    pid: int | None = None
    host: str | None = None
    since: float | None = None
    doing: str = ""

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
        """Parse the content of a lock file; `filelock.SoftFileLock` writes lines, not JSON."""
        text = content.decode(errors="replace").strip()
        try:
            fields = parse_json(text)
            pid, host, since = int(fields["pid"]), str(fields["host"]), float(fields["since"])
            return cls(pid, host, since, str(fields.get("doing", "")))
        except (ValueError, TypeError, KeyError, OverflowError):
            lines = text.splitlines()
            if len(lines) > 1 and lines[0].isdecimal():
                return cls(int(lines[0]), lines[1])
            return cls()

    def __str__(self) -> str:
        if self.pid is None:
            return "an unknown process"
        text = f"process {self.pid} on {self.host}"
        if self.since is None:
            return text
        time_held = f"for {max(0.0, time.time() - self.since):.0f} s"
        return f"{text} ({self.doing}, {time_held})" if self.doing else f"{text}, {time_held}"


@dataclass(frozen=True)
class FileLock:
    """A file that this process holds locked.

    Parameters
    ----------
    path : Path
    descriptor : int
    created : bool
        Whether this lock created the file.
    """

    path: Path
    descriptor: int
    created: bool

    def holder(self) -> Holder:
        """Return who held it before, as far as the file says."""
        return Holder.of(_content(self.descriptor))

    def sign(self) -> None:
        """Write this process into a file that another one left; an error releases the lock."""
        try:
            _sign(self.descriptor)
        except OSError:
            self.release()
            raise

    def release(self, *, remove: bool = True) -> None:
        """Remove the file, then unlock it; if it cannot be removed, it is unlocked all the same.

        In this order: a process that locked the file in between would hold one that has no name,
        while the next process creates a new one.
        """
        with suppress(OSError):
            if remove and os.name != "nt" and _is_same_file(self.descriptor, self.path):
                self.path.unlink()
        # `close` is not enough: a forked process may share the descriptor.
        unlock_descriptor(self.descriptor)
        os.close(self.descriptor)
        if remove and os.name == "nt":  # Windows does not remove open files
            with suppress(OSError):  # another process has opened it, and will remove it
                self.path.unlink()


def try_lock(path: Path, doing: str | None = None) -> FileLock | None:
    """Lock a file, created if need be; None if another process holds it or has just released it.

    Parameters
    ----------
    path : Path
    doing : str, optional
        If given, a new file gets the name of this process and, if not empty, what it does.

    Raises
    ------
    OSError
        One of `NO_LOCKS` if the file system has no locks; also if the folder does not exist or may
        not be written.
    """
    opened = _open(path)
    if opened is None:
        return None
    descriptor, created = opened
    locked = False
    try:
        if created and doing is not None:  # soon: see `locks.SIGN_TIMEOUT`
            _sign(descriptor, doing)
        locked = lock_descriptor(descriptor, blocking=False) and _is_same_file(descriptor, path)
    except OSError:
        if created and _is_same_file(descriptor, path):
            path.unlink()  # else others would take it for a lock
        raise
    finally:
        if not locked:
            os.close(descriptor)
    return FileLock(path, descriptor, created) if locked else None


def _open(path: Path) -> tuple[int, bool] | None:
    """Return a descriptor of the file, and whether this call created it."""
    with suppress(FileNotFoundError):
        return os.open(path, _FLAGS), False
    try:
        return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True
    except FileExistsError:  # another process was quicker
        return None


def _is_same_file(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to an open file: it may have been removed or replaced."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _content(descriptor: int) -> bytes:
    """Return the content; on Windows the first byte is the locked one, and cannot be read."""
    for start in (0, 1):
        with suppress(PermissionError):
            os.lseek(descriptor, start, os.SEEK_SET)
            return os.read(descriptor, _MAX_BYTES)
    return b""


def _sign(descriptor: int, doing: str = "") -> None:
    """Write the holder into a file, after one blank: see `_content`."""
    fields = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    if doing:
        fields["doing"] = doing
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b" " + json.dumps(fields).encode())
