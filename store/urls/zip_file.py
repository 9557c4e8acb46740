"""The files of a zip file, on a disk or in a bucket: read one by one, never unpacked."""

import io
from collections.abc import Callable
from errno import EIO
from typing import Any
from weakref import finalize
from zipfile import BadZipFile, ZipFile

from ..errors import InputError
from .errors import UrlError
from .objects import OpenFile

__all__ = ["ZipObjects"]

MOST_BYTES = 2**30
"""Of a file, unpacked: kilobytes may state gigabytes. The largest image has about half of it."""


class ZipObjects:
    """The files of a zip file, see `Objects`: read-only.

    If all of them lie in one folder, that folder is what is meant, as if it had been zipped
    without its name.

    Parameters
    ----------
    root : str
        The path or URL of the zip file.
    open_file : callable
        Returns its path, or the file itself, which can seek.
    """

    can_list = True
    can_write = False

    def __init__(self, root: str, open_file: Callable[[], str | OpenFile]) -> None:
        self._root = root
        try:
            self._zip = ZipFile(open_file())
        except FileNotFoundError:
            raise InputError(f"there is no zip file at '{root}'") from None
        except (BadZipFile, OSError, ValueError, EOFError):
            raise InputError(f"'{root}' is no zip file, or is damaged") from None
        finalize(self, self._zip.close)
        members = [one for one in self._zip.infolist() if not one.is_dir()]
        members = [one for one in members if not one.filename.startswith("__MACOSX/")]
        tops = {one.filename.partition("/")[0] for one in members}
        nested = len(tops) == 1 and all("/" in one.filename for one in members)
        skipped = len(tops.pop()) + 1 if nested else 0
        self._members = {one.filename[skipped:]: one for one in members}

    def get(self, key: str) -> bytes:
        """Return a file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        OSError
            If it is damaged, or larger than `MOST_BYTES`: others may not be.
        """
        if key not in self._members:
            raise FileNotFoundError(f"{self._root}/{key}")
        if (size := self._members[key].file_size) > MOST_BYTES:
            words = f"it unpacks to {size} bytes, of a file in a zip file at most {MOST_BYTES} are"
            raise OSError(EIO, f"{words} read", f"{self._root}/{key}")
        try:
            return self._zip.read(self._members[key])
        except (BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError):
            words = "the zip file is damaged here, or encrypted"
            raise OSError(EIO, words, f"{self._root}/{key}") from None

    def open(self, key: str) -> OpenFile:
        """Return a file as one in memory."""
        return io.BytesIO(self.get(key))

    def size(self, key: str) -> int | None:
        """Return the bytes of a file; None if there is none."""
        member = self._members.get(key)
        return None if member is None else member.file_size

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file under a folder, by its whole key, sorted."""
        under = f"{folder}/" if folder else ""
        return {
            key: one.file_size
            for key, one in sorted(self._members.items())
            if key.startswith(under)
        }

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names directly under a folder, of files and of folders."""
        under = f"{folder}/" if folder else ""
        keys = (key for key in self._members if key.startswith(under))
        return tuple(dict.fromkeys(key[len(under) :].partition("/")[0] for key in keys))

    def put(self, key: str, data: bytes) -> None:
        """Refuse: it is read-only."""
        raise self._read_only()

    def put_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Refuse: it is read-only."""
        raise self._read_only()

    def tagged(self, key: str) -> tuple[bytes, str] | None:
        """Refuse: tags are for writing."""
        raise self._read_only()

    def delete(self, key: str) -> None:
        """Refuse: it is read-only."""
        raise self._read_only()

    def _read_only(self) -> Any:
        return UrlError(f"'{self._root}' is a zip file, which can only be read")
