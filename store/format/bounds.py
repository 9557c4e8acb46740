"""What a store may ask for: no more memory than its files, and this machine, account for.

A ``zarr.json`` of a few bytes may declare 10^15 images, and a chunk of kilobytes may unpack to
gigabytes. Both are looked at before memory is taken for them.
"""

from functools import partial
from math import prod
from typing import Any

import psutil
from numcodecs import zstd
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, VLenUTF8Codec, ZstdCodec

from ..errors import ANEW, StoreError
from ..urls.zarr_store import UrlStore
from .keys import content_of, head_of, list_folder
from .zstd_frames import unpacked_size

__all__ = [
    "MOST_IMAGE_PIXELS",
    "MOST_PIXELS",
    "bound_chunks",
    "check_chunk",
    "check_codecs",
    "check_counts",
    "check_row",
    "check_unpacked",
]

MOST_PIXELS = 178_956_970
"""Of a row: more than this many Pillow does not open, unless it is told to."""

MOST_IMAGE_PIXELS = 2**30
"""Of an image: more than this many are not read by rows either, and its mask has as many."""

MOST_NAME = 4096
"""Bytes of an entry in a table of names; a path has no more."""

_CODECS = (BloscCodec, BytesCodec, Crc32cCodec, VLenUTF8Codec, ZstdCodec)
_HEAD = 16  # of Blosc


def check_counts(store: Any, counts: dict[str, int], chunk: int, where: object) -> None:
    """Refuse more entries than the chunks of their tables have room for.

    Parameters
    ----------
    store : zarr Store
    counts : dict of str to int
        Entries that the store's attributes state, by a table that has one for each.
    chunk : int
        Entries of a chunk.

    Raises
    ------
    StoreError
    """
    if isinstance(store, UrlStore) and not store.url.objects.can_list:
        return  # a web server, which need not list its files
    for table, count in counts.items():
        # a table that lost all its chunks is found by its entries
        room = chunk * max(1, len(list_folder(store, f"{table}/c")) if count > chunk else 1)
        if count > room:
            raise StoreError(
                f"{where} is damaged: its attributes state {count} entries of '{table}', which has "
                f"room for {room}. {ANEW}"
            )


def check_row(bytes_per_row: int, row_shape: tuple[int, int], where: object) -> None:
    """Refuse rows that this machine cannot hold.

    Raises
    ------
    StoreError
    """
    memory = psutil.virtual_memory().total
    pixels = row_shape[0] * row_shape[1]
    if min(row_shape) < 1 or pixels > MOST_PIXELS or bytes_per_row > memory:
        raise StoreError(
            f"{where} states rows of {row_shape[0]}x{row_shape[1]} pixels and {bytes_per_row} "
            f"bytes of features: expected {MOST_PIXELS} pixels at most, and no more bytes than "
            f"this machine's memory, {memory}"
        )


def check_codecs(array: Any) -> None:
    """Raise `ValueError` of an array with other codecs than dseg writes."""
    codecs = (*array.filters, array.serializer, *array.compressors)
    others = [type(one).__name__ for one in codecs if not isinstance(one, _CODECS)]
    if others:
        raise ValueError(f"its codec {others[0]} is none that dseg writes")


def check_unpacked(array: Any, key: str) -> None:
    """Raise `ValueError` of a chunk that `check_chunk` refuses; a store by URL looks for itself.

    Parameters
    ----------
    array : zarr Array
    key : str
        Of the chunk, in the array's store; one that is missing passes.
    """
    if not isinstance(array.store, UrlStore):
        whole = any(isinstance(one, ZstdCodec) for one in array.compressors)
        data = content_of(array.store, key) if whole else head_of(array.store, key, _HEAD)
        check_chunk(array, key, data or b"")


def check_chunk(array: Any, key: str, data: bytes) -> None:
    """Raise `ValueError` of a chunk that states to be larger, unpacked, than its array's chunks.

    Parameters
    ----------
    array : zarr Array
    key : str
        Of the chunk, for the message.
    data : bytes
        The chunk; of one that is not packed by Zstandard its head will do.
    """
    is_text = array.dtype.kind == "T"
    entries = prod(array.chunks)
    most = entries * (MOST_NAME if is_text else array.dtype.itemsize)
    try:
        stated = _stated_bytes(data, array)
    except ValueError as error:
        raise ValueError(f"'{key}': {error}") from error
    if stated is not None and stated > most:
        raise ValueError(f"'{key}' unpacks to {stated} bytes, its array's chunks have {most}")
    if is_text and data and (found := _texts_in(array, data)) != entries:
        raise ValueError(f"'{key}' states {found} entries, its array's chunks have {entries}")


def bound_chunks(array: Any) -> None:
    """Let a store by URL look at each chunk of an array that it fetches: see `check_chunk`."""
    if isinstance(array.store, UrlStore):
        array.store.checks[array.path] = partial(check_chunk, array)


def _texts_in(array: Any, data: bytes) -> int:
    """Return how many texts a chunk states, before its decoder makes room for them."""
    codecs = array.compressors
    if any(isinstance(one, Crc32cCodec) for one in codecs):
        data = data[:-4]
    if any(isinstance(one, ZstdCodec) for one in codecs):
        data = zstd.decompress(data)
    return int.from_bytes(data[:4], "little")


def _stated_bytes(data: bytes, array: Any) -> int | None:
    """Return the size that a compressed chunk states; None where nothing is compressed.

    Raises
    ------
    ValueError
        If it states none.
    """
    first = next((c for c in array.compressors if isinstance(c, BloscCodec | ZstdCodec)), None)
    if first is None or not data:
        return None
    if isinstance(first, BloscCodec):
        return int.from_bytes(data[4:8], "little")
    stated = unpacked_size(data)
    if stated is None:  # it may grow as it is unpacked
        raise ValueError("it is damaged, or does not state what it unpacks to")
    return stated
