"""What is done in the end of a run, whether it succeeded or not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .errors import DsegError

__all__ = ["in_the_end"]


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
