"""The error of one image that cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...store.errors import DsegError
from .rasters.unsuitable import Unsuitable

__all__ = ["UnreadableImage", "decoding"]


class UnreadableImage(DsegError):  # noqa: N818  (a fact about one image, counted, not a crash)
    """One image cannot be used; its text says which and why."""


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever damaged bytes make of a decoder into `UnreadableImage`.

    Parameters
    ----------
    name : str
        The file's, for messages.
    """
    try:
        yield
    except (DsegError, MemoryError):
        raise
    except Unsuitable as error:
        raise UnreadableImage(f"'{name}' {error}") from error
    except Exception as error:
        raise UnreadableImage(f"'{name}' cannot be decoded: {error}") from error
