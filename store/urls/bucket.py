"""A bucket of an object store, through obstore: S3 and what speaks like it, GCS, Azure, memory.

Why obstore: docs/design.md.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from ..errors import DsegError, InputError
from .errors import UrlError, in_words, no_bucket
from .objects import OpenFile
from .options import StorageOptions, split_options

__all__ = ["Bucket", "connect"]

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_PIECE = 2**16  # bytes that are read at a time: enough for most images' headers

T = TypeVar("T")


@cache
def _memory(name: str) -> Any:
    """Return the objects that this process keeps in memory under a name."""
    from obstore.store import MemoryStore

    return MemoryStore()


def connect(root: str, options: StorageOptions) -> Any:
    """Return obstore's object for a bucket or a server; nothing is asked of it yet.

    Raises
    ------
    InputError
        If there is no such option.
    """
    from obstore.exceptions import BaseError, UnknownConfigurationKeyError
    from obstore.store import HTTPStore, from_url

    scheme = root.partition("://")[0]
    if scheme == "memory":
        return _memory(root)
    store: Any  # obstore's own types name each option
    store, client, retry = split_options(options)
    given = {key.removeprefix("aws_"): value for key, value in store.items()}
    by_environment = next(filter(None, map(os.environ.get, _ENDPOINTS)), "")
    endpoint = given.get("endpoint", given.get("endpoint_url", by_environment))
    if scheme == "http" or endpoint.startswith("http://"):  # whoever gives it means it
        client.setdefault("allow_http", "true")
    try:
        if scheme in ("http", "https"):
            if store:
                raise InputError(
                    f"'{root}' has no storage option '{next(iter(store))}': of a web server they "
                    "are those of the connection, such as timeout=60s"
                )
            return HTTPStore.from_url(root, client_options=client, retry_config=retry or None)
        return from_url(root, config=store, client_options=client, retry_config=retry or None)
    except UnknownConfigurationKeyError as error:
        key = next((key for key, _ in options if f'"{key}"' in str(error)), "")
        raise InputError(f"'{root}' has no storage option '{key}'") from None
    except (BaseError, ValueError) as error:
        if isinstance(error, DsegError):
            raise
        keys = ", ".join(f"'{key}'" for key, _ in options)
        words = f": is a value of the storage options {keys} wrong?" if keys else ""
        raise InputError(f"cannot connect to '{root}'{words}") from None


class Bucket:
    """The objects of a bucket, see `Objects`.

    Parameters
    ----------
    root : str
        Such as ``s3://bucket``.
    options : StorageOptions
    """

    can_list = True
    can_write = True

    def __init__(self, root: str, options: StorageOptions) -> None:
        self._root, self._store = root, connect(root, options)

    def get(self, key: str) -> bytes:
        """Return an object."""
        import obstore

        with self._errors("read", key):
            return bytes(obstore.get(self._store, key).bytes())

    def open(self, key: str) -> OpenFile:
        """Return an object as a file that is read in pieces, where it is asked for.

        From a server that gives no parts of files it is read whole.
        """
        size = self.size(key)
        if size is None:
            raise FileNotFoundError(f"{self._root}/{key}")
        if size <= _PIECE or not self._gives_parts(key):
            return io.BytesIO(self.get(key))
        return io.BufferedReader(_Pieces(self, key, size), _PIECE)

    def _gives_parts(self, key: str) -> bool:
        try:
            self.part(key, 0, 1)
        except UrlError:
            return False
        return True

    def part(self, key: str, start: int, end: int) -> bytes:
        """Return some bytes of an object, at least one."""
        import obstore

        with self._errors("read", key):
            return bytes(obstore.get_range(self._store, key, start=start, end=end))

    def size(self, key: str) -> int | None:
        """Return the bytes of an object; None if there is none."""
        import obstore

        with self._errors("read", key):
            return _or_none(lambda: int(obstore.head(self._store, key)["size"]))

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each object under a folder, by its whole key, sorted."""
        import obstore

        with self._errors("list", folder):
            batches = obstore.list(self._store, folder or None)
            return dict(sorted((one["path"], one["size"]) for some in batches for one in some))

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names directly under a folder, of objects and of folders."""
        import obstore

        with self._errors("list", folder):
            found = obstore.list_with_delimiter(self._store, folder or None)
        paths = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        return tuple(path.rpartition("/")[2] for path in paths)

    def put(self, key: str, data: bytes) -> None:
        """Write an object: as a whole or not at all."""
        import obstore

        with self._errors("write", key):
            obstore.put(self._store, key, data)

    def put_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Write an object if it is the one with this tag, or with None if there is none."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if tag is None else {"e_tag": tag}
        with self._errors("write", key):
            try:
                return str(obstore.put(self._store, key, data, mode=mode)["e_tag"])
            except (AlreadyExistsError, PreconditionError):
                return None
            except FileNotFoundError as error:  # what had the tag is gone
                if tag is None or no_bucket(error):
                    raise
                return None

    def tagged(self, key: str) -> tuple[bytes, str] | None:
        """Return an object and its tag; None if there is none."""
        import obstore

        def read() -> tuple[bytes, str]:
            found = obstore.get(self._store, key)
            return bytes(found.bytes()), str(found.meta["e_tag"])

        with self._errors("read", key):
            return _or_none(read)

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none."""
        import obstore

        with self._errors("remove", key):
            _or_none(lambda: obstore.delete(self._store, key))

    @contextmanager
    def _errors(self, doing: str, key: str) -> Iterator[None]:
        """Put the library's errors in words; that there is no such object is left as it is."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            if doing == "read" and not no_bucket(error):
                raise FileNotFoundError(f"{self._root}/{key}") from None
            raise UrlError(f"cannot {doing} '{self._root}/{key}': {in_words(error)}") from None
        except (BaseError, OSError) as error:
            raise UrlError(f"cannot {doing} '{self._root}/{key}': {in_words(error)}") from None
        except ValueError as error:
            if isinstance(error, DsegError):
                raise
            raise InputError(f"'{key}' cannot be a key of '{self._root}'") from None


def _or_none(operation: Callable[[], T]) -> T | None:
    try:
        return operation()
    except FileNotFoundError as error:
        if no_bucket(error):
            raise
        return None


class _Pieces(io.RawIOBase):
    """An object as a file that is read in pieces."""

    def __init__(self, bucket: Bucket, key: str, size: int) -> None:
        self._bucket, self._key, self._size, self._at = bucket, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = self._bucket.part(self._key, self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
