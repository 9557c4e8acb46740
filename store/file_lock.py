"""A file that one process holds locked: the operating system's lock, which goes with its process.

However that ends: a file that a dead process or a power failure has left is held by nobody, and is
taken. It may say in JSON who holds it: ``pid``, ``host``, ``since`` in seconds since 1970, and what
that process is ``doing``. It is removed with the lock.

The lock on planning (`locks`) and the claims of runs on their folders (`claims`) stand on this.
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

__all__ = ["NO_LOCKS", "FileLock", "Holder", "take"]

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of a file system that has no locks."""

# What lies there under the name may come from elsewhere: a link is not followed, a pipe not opened.
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_MOST = 4096  # bytes of a file that are read


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as far as the file says.

    Parameters
    ----------
    pid : int or None
    host : str or None
    since : float or None
        Seconds since 1970.
    doing : str
        What it does, such as "dseg fit"; empty if it does not say.
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
        """Return what a file's content says; `filelock.SoftFileLock` writes lines, not JSON."""
        text = content.decode(errors="replace").strip()
        try:
            said = json.loads(text)
            pid, host, since = int(said["pid"]), str(said["host"]), float(said["since"])
            return cls(pid, host, since, str(said.get("doing", "")))
        except (ValueError, TypeError, KeyError, OverflowError):
            lines = text.splitlines()
            if len(lines) > 1 and lines[0].isdecimal():
                return cls(int(lines[0]), lines[1])
            return cls()

    def __str__(self) -> str:
        if self.pid is None:
            return "an unknown process"
        told = f"process {self.pid} on {self.host}"
        if self.since is None:
            return told
        time_held = f"for {time.time() - self.since:.0f} s"
        return f"{told} ({self.doing}, {time_held})" if self.doing else f"{told}, {time_held}"


@dataclass(frozen=True)
class FileLock:
    """A file that this process holds locked.

    Parameters
    ----------
    path : Path
    descriptor : int
    created : bool
        Whether the file was made for it.
    """

    path: Path
    descriptor: int
    created: bool

    def holder(self) -> Holder:
        """Return who held it, as far as the file says."""
        return Holder.of(_content(self.descriptor))

    def sign(self) -> None:
        """Write into a file of another process that this one holds it; an error releases it."""
        try:
            _sign(self.descriptor)
        except OSError:
            self.release()
            raise

    def release(self, *, remove: bool = True) -> None:
        """Remove the file while it is locked, so that nobody locks one without a name; let it go.

        One that cannot be removed is held by nobody all the same.
        """
        with suppress(OSError):
            if remove and os.name != "nt" and _is_at(self.descriptor, self.path):
                self.path.unlink()
        unlock_descriptor(self.descriptor)  # a process forked meanwhile may have it open, too
        os.close(self.descriptor)
        if remove and os.name == "nt":  # which removes no open files
            with suppress(OSError):  # another process has opened it, and will remove it
                self.path.unlink()


def take(path: Path, doing: str | None = None) -> FileLock | None:
    """Lock a file, made if need be; None if another process has it, or has just released it.

    Parameters
    ----------
    path : Path
    doing : str, optional
        Have a file that is made for it say who holds it, and, if not empty, what that process does.

    Raises
    ------
    OSError
        Of `NO_LOCKS` if there are none; also if the folder is not there, or may not be written.
    """
    opened = _open(path)
    if opened is None:
        return None
    descriptor, created = opened
    taken = False
    try:
        if created and doing is not None:  # at once: nobody shall see it without a name for long
            _sign(descriptor, doing)
        taken = lock_descriptor(descriptor, blocking=False) and _is_at(descriptor, path)
    except OSError:
        if created and _is_at(descriptor, path):
            path.unlink()  # or it would pass for a lock
        raise
    finally:
        if not taken:
            os.close(descriptor)
    return FileLock(path, descriptor, created) if taken else None


def _open(path: Path) -> tuple[int, bool] | None:
    """Return a descriptor of a file, and whether this created it."""
    with suppress(FileNotFoundError):
        return os.open(path, _FLAGS), False
    try:
        return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True
    except FileExistsError:  # another process was quicker
        return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Say whether a name still leads to an open file."""
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


def _sign(descriptor: int, doing: str = "") -> None:
    """Write into a file who holds it, after a blank: see `_content`."""
    said = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    if doing:
        said["doing"] = doing
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, b" " + json.dumps(said).encode())
