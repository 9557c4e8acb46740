"""A Zarr store over objects by URL: whole keys, each written at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

from .location import UrlPath

__all__ = ["UrlStore"]


class UrlStore(Store):
    """The keys under a URL, as Zarr reads and writes them.

    Not zarr's own ``ObjectStore``, which has no web servers and zip files, and passes on errors
    that quote requests.

    Parameters
    ----------
    url : UrlPath
    read_only : bool

    Attributes
    ----------
    checks : dict of str to callable
        By path of an array: what is called with the key and bytes of each chunk that is read, and
        may raise a ValueError.
    """

    supports_writes = True
    supports_deletes = True
    supports_partial_writes = False
    supports_listing = True

    def __init__(self, url: UrlPath, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)
        self.url = url
        self.checks: dict[str, Callable[[str, bytes], None]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UrlStore) and (self.url, self.read_only) == (
            other.url,
            other.read_only,
        )

    def __str__(self) -> str:
        return str(self.url)

    def __repr__(self) -> str:
        return f"UrlStore({str(self.url)!r})"

    def with_read_only(self, read_only: bool = False) -> "UrlStore":
        """Return the same store for reading only, or for writing too."""
        return UrlStore(self.url, read_only=read_only)

    def has(self, key: str) -> bool:
        """Whether there is a key."""
        return (self.url / key).is_file()

    def set_sync(self, key: str, value: Buffer) -> None:
        """Set a key, in the calling thread."""
        self._check_writable()
        (self.url / key).write_bytes(value.to_bytes())

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a key, or a part of it; None if there is none."""
        try:
            data = await asyncio.to_thread((self.url / key).read_bytes)
        except FileNotFoundError:
            return None
        array, is_chunk, _ = key.partition("/c/")
        if is_chunk and array in self.checks:
            self.checks[array](key, data)
        match byte_range:
            case RangeByteRequest(start, end):
                data = data[start:end]
            case OffsetByteRequest(offset):
                data = data[offset:]
            case SuffixByteRequest(suffix):
                data = data[max(0, len(data) - suffix) :]
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return parts of several keys."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is a key."""
        return await asyncio.to_thread(self.has, key)

    async def set(self, key: str, value: Buffer) -> None:
        """Set a key."""
        await asyncio.to_thread(self.set_sync, key, value)

    async def delete(self, key: str) -> None:
        """Remove a key; no error if there is none."""
        self._check_writable()
        await asyncio.to_thread((self.url / key).unlink)

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys under a folder."""
        folder = self.url / prefix.rstrip("/")
        for found in await asyncio.to_thread(folder.files):
            yield str(found.relative_to(self.url))

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly under a folder."""
        folder = self.url / prefix.rstrip("/")
        names: Any = await asyncio.to_thread(folder.objects.names, folder.key)
        for name in names:
            yield name
