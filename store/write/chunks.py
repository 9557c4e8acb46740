"""Whole chunks, encoded in the calling thread and set in the store past zarr's event loop.

An assignment to a zarr array goes through an event loop in another thread and a pool of threads for
each codec and file: three milliseconds a chunk, most of it Python, which would take a quarter of a
quick network's time. What is written here is, byte for byte, what such an assignment writes.
"""

import math
from collections.abc import Iterator

import google_crc32c
import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store

from ..errors import InputError
from ..format.codecs import Codec
from ..format.keys import content_of, put
from ..format.layout import Array

__all__ = ["ChunkWriter"]

_PLAIN = Codec("none", "uint8", ())


class ChunkWriter:
    """Writes and compares entries of an array of which each chunk holds one, or a part of one.

    Parameters
    ----------
    store : zarr Store
    name : str
        The array's path in it.
    array : zarr Array
        Of chunks (1, …), of which the second axis may be divided further.
    codec : Codec, optional
        How its bytes are compressed before the checksum; by default not at all.
    """

    def __init__(self, store: Store, name: str, array: Array, codec: Codec = _PLAIN) -> None:
        self._store, self._name, self._encode = store, name, codec.compress
        _, *self._chunk = array.chunks
        self._shape = array.shape[1:]
        self._dtype, self._fill = np.dtype(array.dtype).newbyteorder("<"), array.fill_value
        self._parts = 1
        if self._chunk:
            self._parts = math.ceil(array.shape[1] / self._chunk[0])

    def write(self, index: int, values: NDArray[np.generic]) -> None:
        """Write one entry.

        Parameters
        ----------
        index : int
            Along the first axis.
        values : array of the shape of the array without its first axis
            Cast to its dtype.

        Raises
        ------
        InputError
            If the shape is another.
        """
        for key, data in self._encoded(index, values):
            put(self._store, key, data)

    def holds(self, index: int, values: NDArray[np.generic]) -> bool:
        """Whether an entry is stored as `write` would write these values, and undamaged.

        Of a store of dseg 0.1, with other codecs, it may say no though the values are the same.
        """
        return all(
            content_of(self._store, key) == data for key, data in self._encoded(index, values)
        )

    def _encoded(self, index: int, values: NDArray[np.generic]) -> Iterator[tuple[str, bytes]]:
        plain = np.asarray(values, self._dtype)
        if plain.shape != self._shape:
            raise InputError(
                f"an entry of '{self._name}' has the shape {self._shape}; got {plain.shape}"
            )
        rest = "/0" * (len(self._chunk) - 1)
        for part in range(self._parts):
            chunk = self._part(plain, part)
            encoded = self._encode(np.ascontiguousarray(chunk))
            checksum = np.array(google_crc32c.value(encoded), "<u4").tobytes()
            key = f"{self._name}/c/{index}" + (f"/{part}{rest}" if self._chunk else "")
            yield key, encoded + checksum

    def _part(self, values: NDArray[np.generic], number: int) -> NDArray[np.generic]:
        """Return a chunk; the last is filled up."""
        if not self._chunk:
            return values
        length = self._chunk[0]
        part = values[number * length : (number + 1) * length]
        if len(part) == length:
            return part
        whole = np.full(self._chunk, self._fill, self._dtype)
        whole[: len(part)] = part
        return whole
