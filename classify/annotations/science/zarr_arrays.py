"""One plane of a Zarr array from anybody: looked at before memory is taken for it.

A few bytes of metadata may declare any size, name a codec that runs code (Zarr 2 has pickles), and
a chunk of kilobytes may unpack to gigabytes. So metadata and the heads of all chunks are read here;
zarr then reads the pixels.

References
----------
"Zarr core specification", versions 2 and 3; "Sharding codec", version 1.0, for its index.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ....store.format.zstd_frames import unpacked_size
from ....store.texts import object_in
from ..shapes.limits import MOST_PIXELS, whole_number

__all__ = ["attributes_of", "read_plane"]

_MOST_CHUNK = 2**30
"""Bytes of a chunk, unpacked: a plane of the most pixels in one chunk of 32 bits has 0.7 GB."""

_PACKED = ("blosc", "gzip", "lz4", "zlib", "zstd")
_PLAIN = ("bytes", "transpose", "crc32c")
_MISSING = 2**64 - 1  # in the index of a shard
_CHECKSUM = 4  # bytes that the codec crc32c adds
_STEP = 2**20


@dataclass(frozen=True)
class _Layout:
    """What an array's metadata state."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    inner: tuple[int, ...]
    itemsize: int
    packing: str | None


def attributes_of(group: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr group or array, of version 3 or 2; empty if there are none.

    Of OME-Zarr 0.5 what is under "ome" is returned.
    """
    found = (object_in(group / "zarr.json") or {}).get("attributes")
    if not isinstance(found, dict):
        found = object_in(group / ".zattrs") or {}
    inner = found.get("ome")
    return inner if isinstance(inner, dict) else found


def read_plane(array: Path) -> NDArray[np.integer[Any]]:
    """Return the pixels of an integer array whose axes but the last two have one entry.

    Parameters
    ----------
    array : path
        Its folder, with ``zarr.json`` or ``.zarray``.

    Returns
    -------
    array of shape (H, W), of an integer dtype

    Raises
    ------
    InputError
        If it is none, has more than one plane, is too large or damaged, or has a codec that is
        not read.
    """
    import zarr

    layout = _layout(array)
    if len(layout.shape) < 2 or prod(layout.shape[:-2]) != 1:
        raise InputError(
            f"its labels have the shape {layout.shape}: expected one plane, (…, 1, height, width). "
            "Save the slice or frame of the image that is labelled"
        )
    height, width = layout.shape[-2:]
    if not 0 < height * width <= MOST_PIXELS:
        raise InputError(
            f"its labels have {width}×{height} pixels: {MOST_PIXELS} are the most that dseg reads"
        )
    for file in _chunk_files(array):
        _check_chunk(file, layout)
    try:
        with zarr.config.set({"async.concurrency": 1}):
            opened = zarr.open_array(array, mode="r")
            plane = np.asarray(opened[(0,) * (len(layout.shape) - 2)])
    except Exception as error:  # whatever zarr and its codecs make of damaged bytes
        raise InputError(f"its labels cannot be read: {error}") from error
    return plane.reshape(height, width)


def _layout(array: Path) -> _Layout:
    try:
        if (array / "zarr.json").is_file():
            return _layout_3(object_in(array / "zarr.json") or {})
        return _layout_2(object_in(array / ".zarray") or {})
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the metadata of its array '{array.name}' are damaged") from error


def _layout_2(found: Mapping[str, Any]) -> _Layout:
    dtype, packing = np.dtype(str(found["dtype"])), found.get("compressor")
    if found.get("filters"):
        raise InputError(
            f"its labels have filters ({found['filters'][0]['id']}), which dseg refuses"
        )
    chunk = _sizes(found["chunks"])
    return _checked(found["shape"], chunk, chunk, dtype, packing and packing["id"])


def _layout_3(found: Mapping[str, Any]) -> _Layout:
    grid = found["chunk_grid"]
    if found.get("storage_transformers") or grid["name"] != "regular":
        raise InputError("its labels are stored in a way that dseg does not read")
    chunk = inner = _sizes(grid["configuration"]["chunk_shape"])
    codecs: Sequence[Mapping[str, Any]] = found["codecs"]
    if codecs[0]["name"] == "sharding_indexed":
        sharding = codecs[0]["configuration"]
        inner, codecs = _sizes(sharding["chunk_shape"]), sharding["codecs"]
        names = [codec["name"] for codec in sharding["index_codecs"]]
        if names != ["bytes", "crc32c"] or sharding.get("index_location", "end") != "end":
            raise InputError("its labels have shards with an index that dseg does not read")
    packing = [codec["name"] for codec in codecs if codec["name"] not in _PLAIN]
    if len(packing) > 1:
        raise InputError(f"its labels have several codecs ({', '.join(packing)}): expected one")
    dtype = np.dtype(str(found["data_type"]))
    return _checked(found["shape"], chunk, inner, dtype, packing[0] if packing else None)


def _sizes(found: Sequence[object]) -> tuple[int, ...]:
    return tuple(whole_number(size, "shape") for size in found)


def _checked(
    shape: Sequence[object],
    chunk: tuple[int, ...],
    inner: tuple[int, ...],
    dtype: np.dtype[Any],
    packing: str | None,
) -> _Layout:
    if dtype.kind not in "iu":
        raise InputError(f"its labels are {dtype}: expected whole numbers")
    if packing is not None and packing not in _PACKED:
        raise InputError(f"its labels are packed by '{packing}': dseg reads {', '.join(_PACKED)}")
    if min(*chunk, *inner, 1) < 1 or prod(chunk) * dtype.itemsize > _MOST_CHUNK:
        raise InputError(
            f"its labels have chunks of {'×'.join(map(str, chunk))}: {_MOST_CHUNK // 2**20} MiB "
            "are the most that dseg reads"
        )
    return _Layout(_sizes(shape), chunk, inner, dtype.itemsize, packing)


def _chunk_files(array: Path) -> Iterator[Path]:
    hidden = (".zarray", ".zattrs", "zarr.json")
    return (file for file in array.rglob("*") if file.name not in hidden and file.is_file())


def _check_chunk(file: Path, layout: _Layout) -> None:
    """Refuse a file that unpacks to more than its chunk has, or any chunk in a shard."""
    most = prod(layout.inner) * layout.itemsize
    size = file.stat().st_size
    if size > 2 * prod(layout.chunk) * layout.itemsize + _STEP:
        raise InputError(f"its chunk '{file.name}' has {size} bytes: more than its pixels")
    with file.open("rb") as opened:
        for start, stop in _parts(opened, size, layout):
            opened.seek(start)
            unpacked = _unpacked(opened, stop - start, layout.packing, most)
            if unpacked > most:
                raise InputError(
                    f"its chunk '{file.name}' unpacks to {unpacked} bytes or more: its pixels "
                    f"have {most}"
                )


def _parts(opened: Any, size: int, layout: _Layout) -> Iterator[tuple[int, int]]:
    """Yield where the chunks of a file begin and end: a shard has many, and an index at its end."""
    if layout.inner == layout.chunk:
        yield 0, size
        return
    entries = prod(whole // part for whole, part in zip(layout.chunk, layout.inner, strict=True))
    if size < 16 * entries + 4:
        raise InputError("one of its shards is damaged: its index is cut off")
    opened.seek(size - 16 * entries - 4)
    index = np.frombuffer(opened.read(16 * entries), "<u8").reshape(-1, 2)
    for offset, length in index.tolist():
        if offset != _MISSING and offset + length <= size:
            yield offset, offset + length


def _unpacked(opened: Any, length: int, packing: str | None, most: int) -> int:
    """Return to how many bytes a chunk says that it unpacks, or does, as far as ``most``."""
    if packing in ("gzip", "zlib"):
        return _inflated(opened.read(length), most)
    if packing == "zstd":
        stated = unpacked_size(opened.read(length))
        if stated is None:
            raise InputError("one of its chunks is damaged, or is not one frame of a stated size")
        return stated
    head = opened.read(min(length, 8))
    if packing == "blosc":
        return int.from_bytes(head[4:8], "little")
    return int.from_bytes(head[:4], "little") if packing == "lz4" else 0


def _inflated(data: bytes, most: int) -> int:
    unpacking, total = zlib.decompressobj(32 + zlib.MAX_WBITS), 0
    try:
        while data and total <= most and not unpacking.eof:
            total += len(unpacking.decompress(data, _STEP))
            data = unpacking.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"one of its chunks is damaged: {error}") from error
    further = max(len(unpacking.unused_data) - _CHECKSUM, 0)
    return total + further * 1032  # a further member: the most it can be
