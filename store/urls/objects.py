"""What a bucket, a web server and a zip file have in common: bytes under keys."""

from io import BufferedReader, BytesIO
from typing import Protocol

__all__ = ["Objects", "OpenFile"]

OpenFile = BufferedReader | BytesIO


class Objects(Protocol):
    """Bytes under keys such as ``a/b.png``. Safe for several threads.

    Each method raises `UrlError` if the server refuses, fails or does not answer; those that write
    do so for what can only be read.
    """

    can_list: bool
    """Whether keys can be listed; of a web server only the files that its pages link to can be."""

    can_write: bool

    def get(self, key: str) -> bytes:
        """Return an object.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """

    def open(self, key: str) -> OpenFile:
        """Return an object as a file that can seek; only what is read of it is got, if possible.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """

    def size(self, key: str) -> int | None:
        """Return the bytes of an object; None if there is none."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each object under a folder, by its whole key, sorted."""

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names directly under a folder, of objects and of folders."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object: as a whole or not at all."""

    def put_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Write an object if it is the one with this tag, or with None if there is none.

        Returns
        -------
        str or None
            The tag of what was written; None if another was there.
        """

    def tagged(self, key: str) -> tuple[bytes, str] | None:
        """Return an object and its tag; None if there is none."""

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none."""
