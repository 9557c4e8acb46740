"""A file that is read no further than it goes.

``read(n)`` of an open file takes memory for n bytes before it looks how many there are, and a
decoder may ask for as many as a damaged header states: gigabytes, of a file of a hundred bytes.
"""

import os
from typing import Any, BinaryIO, cast

__all__ = ["bounded"]

_SMALL = 2**20  # bytes that may be asked for in vain


def bounded(file: BinaryIO) -> BinaryIO:
    """Return a file whose ``read(n)`` takes memory for what is there, whatever n is.

    Parameters
    ----------
    file : binary file
        Open for reading, which can seek.

    Examples
    --------
    >>> import io
    >>> bounded(io.BytesIO(b"abc")).read(10**12)
    b'abc'
    """
    return cast(BinaryIO, _BoundedReader(file))


class _BoundedReader:
    """A binary file; all but `read` is the file's own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        at = file.tell()
        self._end = file.seek(0, os.SEEK_END)
        file.seek(at)

    def read(self, n: int | None = -1, /) -> bytes:
        """Return the next n bytes, fewer at the end; all that are left for a negative number."""
        if n is not None and n > _SMALL:
            n = min(n, max(0, self._end - self._file.tell()))
        return self._file.read(-1 if n is None else n)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
