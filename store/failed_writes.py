"""What is told of a write that failed: what it was, what is kept, and what ended the run."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .errors import DsegError, WriteError

__all__ = ["in_the_end", "keeping", "writing"]

# Of one file, whatever the disk.
_OF_A_NAME = frozenset(
    {
        *(errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP),
        *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY),
    }
)


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Name what is written where the operating system refuses.

    Parameters
    ----------
    place : path
        For the message.

    Raises
    ------
    WriteError
        In place of an OSError. A run ends with it, for other files would fail like this one.
    DsegError
        If it is only this name that cannot be written, such as one that is too long.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the operating system's
            raise
        kind = DsegError if error.errno in _OF_A_NAME else WriteError
        raise kind(f"cannot write '{place}': {error.strerror}") from error


@contextmanager
def keeping(what: str) -> Iterator[None]:
    """Say of a write that failed what of the run is not lost.

    Parameters
    ----------
    what : str
        Such as "What is drawn".
    """
    try:
        yield
    except WriteError as error:
        words = f"{error}. {what} is kept: repeat the command to continue"
        raise WriteError(words) from error


@contextmanager
def in_the_end(finish: Callable[[], object]) -> Iterator[None]:
    """Call something in the end; an error that ended the run is told, not one that follows it.

    A full disk refuses the last line of a record as it refused the image before.

    Parameters
    ----------
    finish : callable
        It may raise an OSError or a DsegError.
    """
    try:
        yield
    except BaseException:
        with suppress(OSError, DsegError):
            finish()
        raise
    finish()
