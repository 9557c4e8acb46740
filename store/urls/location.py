"""Where a store, an image, a label map or a mask is: a path of this machine, or a URL."""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import unquote, urlsplit

from ..errors import InputError
from .objects import Objects, OpenFile
from .options import StorageOptions

__all__ = ["Location", "UrlPath", "at_hand", "bytes_under", "is_inside", "location"]

SCHEMES = ("s3", "gs", "az", "http", "https", "memory")
_MISSING = "what is given by URL needs obstore, which is not installed: pip install 'dseg[cloud]'"


@dataclass(frozen=True)
class UrlPath:
    """An object, or a folder of objects, by URL; named and used as a `Path` is.

    Two are equal if their URLs are, whatever the options of the connection.

    Parameters
    ----------
    root : str
        Bucket, server or zip file: ``s3://bucket``, ``https://host``, ``photos.zip``.
    key : str
        The path within, without ``/`` at its ends; empty for all of it.
    options : StorageOptions
        Of the connection.
    """

    root: str
    key: str = ""
    options: StorageOptions = field(default=(), repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def __truediv__(self, name: str) -> Self:
        key = str(PurePosixPath(self.key) / name.strip("/"))
        return self._with("" if key == "." else key)

    def __lt__(self, other: "UrlPath") -> bool:
        return str(self) < str(other)

    def _with(self, key: str) -> Self:
        return type(self)(self.root, key, self.options)

    @property
    def _pure(self) -> PurePosixPath:
        return PurePosixPath(self.key or self.root.rpartition("/")[2])

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._pure.name

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return self._pure.suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self._pure.stem

    @property
    def parent(self) -> Self:
        """The folder that this is in; of a root itself, the root."""
        return self._with(self.key.rpartition("/")[0])

    def with_name(self, name: str) -> Self:
        """Return the URL of what has another name in the same folder."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> Self:
        """Return the URL with another ending."""
        return self._with(str(PurePosixPath(self.key).with_suffix(suffix)))

    def relative_to(self, folder: Self) -> PurePosixPath:
        """Return the path within a folder."""
        if not self.is_relative_to(folder):
            raise ValueError(f"'{self}' is not in '{folder}'")
        return PurePosixPath(self.key.removeprefix(folder.key).removeprefix("/" * bool(folder.key)))

    def is_relative_to(self, folder: object) -> bool:
        """Whether this is the folder, or in it."""
        return (
            isinstance(folder, UrlPath)
            and folder.root == self.root
            and (folder.key in ("", self.key) or self.key.startswith(f"{folder.key}/"))
        )

    def absolute(self) -> Self:
        """Return the same: a URL is absolute, and the path of a zip file was made so."""
        return self

    def resolve(self) -> Self:
        """Return the same: there are no links."""
        return self

    def is_symlink(self) -> bool:
        """Return False."""
        return False

    @property
    def objects(self) -> Objects:
        """The objects of the root; connected once in a process."""
        return _connected(self.root, self.options)

    def is_file(self) -> bool:
        """Whether there is such an object."""
        return bool(self.key) and self.objects.size(self.key) is not None

    def is_dir(self) -> bool:
        """Whether there are objects under this URL; of a web server, a page with links."""
        return bool(self.objects.names(self.key))

    def exists(self) -> bool:
        """Whether there is such an object, or are objects under it."""
        return self.is_file() or self.is_dir()

    def read_bytes(self) -> bytes:
        """Return an object.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        return self.objects.get(self.key)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return an object as text; see `read_bytes`."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: str = "rb") -> OpenFile:
        """Return an object as a file to read from, which gets only what is read of it.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        if mode != "rb":
            raise ValueError(f"an object is opened for reading only, not as {mode!r}")
        return self.objects.open(self.key)

    def write_bytes(self, data: bytes) -> None:
        """Write an object: as a whole or not at all."""
        self.objects.put(self.key, data)

    def unlink(self, *, missing_ok: bool = True) -> None:
        """Remove an object; no error if there is none."""
        self.objects.delete(self.key)

    def files(self) -> dict[Self, int]:
        """Return the objects under this folder, sorted, with their bytes (0 of a web server's)."""
        found = self.objects.sizes(self.key)
        return {self._with(key): n_bytes for key, n_bytes in found.items()}


@dataclass(frozen=True)
class _HeldObject(UrlPath):
    """An object with its bytes."""

    data: bytes = field(default=b"", repr=False, compare=False)

    def read_bytes(self) -> bytes:
        return self.data

    def open(self, mode: str = "rb") -> OpenFile:
        return io.BytesIO(self.data)


Location = Path | UrlPath
"""A path or a URL: both have the methods of `UrlPath` but ``objects``, ``files``, ``options``."""


def at_hand(place: Location) -> Location:
    """Return a file as it is; an object with its bytes, which are read now and only once.

    Raises
    ------
    FileNotFoundError
        If there is no such object.
    """
    if isinstance(place, UrlPath):
        return _HeldObject(place.root, place.key, place.options, place.read_bytes())
    return place


def is_inside(place: Location, folder: Location) -> bool:
    """Whether a place is a folder, or in it; both resolved."""
    if isinstance(folder, UrlPath):
        return isinstance(place, UrlPath) and place.is_relative_to(folder)
    return isinstance(place, Path) and place.is_relative_to(folder)


def bytes_under(place: Location) -> int:
    """Return the bytes of all files of a folder, or objects under a URL."""
    if isinstance(place, UrlPath):
        return sum(place.files().values())
    return sum(_sizes_under(place))


def _sizes_under(folder: Path) -> Iterator[int]:
    folders = [str(folder)] if folder.is_dir() else []
    while folders:  # a store has millions of files: `Path.rglob` takes three times as long
        with os.scandir(folders.pop()) as found:
            for one in found:
                if one.is_dir(follow_symlinks=False):
                    folders.append(one.path)
                elif one.is_file():
                    yield one.stat().st_size


def location(text: str | Location, options: StorageOptions = ()) -> Location:
    """Return where something is: of a URL or a zip file a `UrlPath`, else a `Path`.

    Parameters
    ----------
    text : str, Path or UrlPath
    options : StorageOptions
        Of the connection; for a URL in text only.

    Raises
    ------
    InputError
        If the URL is of an unknown kind, contains a secret, or needs a package that is missing.
    """
    if isinstance(text, UrlPath):
        return text
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", str(text))
    if match is None:
        path = Path(text)
        return UrlPath(str(path.absolute())) if _is_zip(path.name) and path.is_file() else path
    scheme, text = match[1].lower(), str(text)
    if scheme not in SCHEMES:
        kinds = ", ".join(f"{known}://" for known in SCHEMES)
        raise InputError(f"URLs of '{scheme}://' are not supported: {kinds} are")
    if find_spec("obstore") is None:
        raise InputError(_MISSING)
    return _parsed(scheme, text, options)


def _parsed(scheme: str, text: str, options: StorageOptions) -> UrlPath:
    host, _, path = text[len(scheme) + 3 :].partition("/")
    is_web = scheme in ("http", "https")
    if "@" in host or (is_web and (urlsplit(text).query or urlsplit(text).fragment)):
        raise InputError(
            f"a URL of '{scheme}://' cannot contain a user, a password or parameters after '?' "
            "(it is not shown: they may be secrets). Give credentials in the environment, or by "
            "--storage-option"
        )
    if not host:
        raise InputError(f"the URL '{text}' names no {'server' if is_web else 'bucket'}")
    key = PurePosixPath(unquote(path) if is_web else path)
    if ".." in key.parts or key.is_absolute():
        raise InputError(f"the URL '{text}' has empty parts or '..'")
    root, parts = f"{scheme}://{host}", () if key == PurePosixPath() else key.parts
    for at, part in enumerate(parts):
        if _is_zip(part):
            root = "/".join((root, *parts[: at + 1]))
            return UrlPath(root, "/".join(parts[at + 1 :]), options)
    return UrlPath(root, "/".join(parts), options)


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


@lru_cache(maxsize=32)
def _connected(root: str, options: StorageOptions) -> Objects:
    if _is_zip(root):
        return _zip(root, options)
    if root.startswith(("http://", "https://")):
        from .web_server import WebServer

        return WebServer(root, options)
    from .bucket import Bucket

    return Bucket(root, options)


def _zip(root: str, options: StorageOptions) -> Objects:
    from .zip_file import ZipObjects

    if "://" not in root:
        return ZipObjects(root, lambda: root)
    scheme, _, rest = root.partition("://")
    host, _, key = rest.partition("/")
    return ZipObjects(root, lambda: _connected(f"{scheme}://{host}", options).open(key))
