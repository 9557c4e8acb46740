"""Named compressions of activations, each with its bound on the error.

=======  =================================================  =============================
name     pipeline                                           error
=======  =================================================  =============================
lz4      float16, Blosc lz4 with bit shuffle                none beyond float16
zstd     float16, Blosc zstd level 1 with bit shuffle       none beyond float16
none     float16                                            none beyond float16
uint8    256 levels between each map's minimum and          half a level of its map, then
         maximum, zstd level 1                              float16's rounding
=======  =================================================  =============================

Every pipeline ends in ``crc32c``, so that a flipped bit raises on reading. All codecs are native to
the Zarr v3 specification.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs import Blosc, Zstd
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from ..errors import InputError

__all__ = [
    "CODECS",
    "DEFAULT_CODEC",
    "Codec",
    "codec_named",
    "dequantise",
    "quantise",
    "stored_arrays",
]

DEFAULT_CODEC = "lz4"
LEVELS = 255


@dataclass(frozen=True)
class Codec:
    """A named compression.

    Parameters
    ----------
    name : str
    dtype : {"float16", "uint8"}
        What the array ``features/<map size>`` holds.
    compressors : tuple of zarr codecs
        Bytes to bytes, in order; the last is ``crc32c``.
    compressor : numcodecs codec, optional
        The same as those before the last.
    """

    name: str
    dtype: str
    compressors: tuple[Any, ...]
    compressor: Any = None

    def compress(self, chunk: NDArray[Any]) -> bytes:
        """Return a chunk's bytes, C-contiguous and little-endian, compressed; without checksum."""
        return chunk.tobytes() if self.compressor is None else bytes(self.compressor.encode(chunk))

    @property
    def quantised(self) -> bool:
        """Whether maps are stored as levels, and their scales in an array of their own."""
        return self.dtype == "uint8"


CODECS: Mapping[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec(
            "lz4",
            "float16",
            (BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=2), Crc32cCodec()),
            Blosc("lz4", 5, Blosc.BITSHUFFLE),
        ),
        Codec(
            "zstd",
            "float16",
            (BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=2), Crc32cCodec()),
            Blosc("zstd", 1, Blosc.BITSHUFFLE),
        ),
        Codec("none", "float16", (Crc32cCodec(),)),
        Codec("uint8", "uint8", (ZstdCodec(level=1), Crc32cCodec()), Zstd(1)),
    )
}


def codec_named(name: str) -> Codec:
    """Return a compression by its name.

    Raises
    ------
    InputError
        If there is none of that name.

    Examples
    --------
    >>> codec_named("uint8").dtype
    'uint8'
    """
    if name not in CODECS:
        raise InputError(f"unknown compression {name!r}: choose one of {', '.join(CODECS)}")
    return CODECS[name]


def quantise(
    activation: NDArray[np.float16],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn each map into 256 levels between its minimum and its maximum.

    Parameters
    ----------
    activation : float16 array of shape (C, h, w), finite

    Returns
    -------
    levels : uint8 array of shape (C, h, w)
    scales : float32 array of shape (C, 2)
        Minimum and step of each map; the step is 0 where all of a map is equal.

    Examples
    --------
    >>> levels, scales = quantise(np.float16([[[0, 51, 255]]]))
    >>> levels.tolist(), scales.tolist()
    ([[[0, 51, 255]]], [[0.0, 1.0]])
    """
    wide = activation.astype(np.float32)
    low = wide.min(axis=(1, 2))
    step = (wide.max(axis=(1, 2)) - low) / np.float32(LEVELS)
    divisor = np.where(step > 0, step, np.float32(1))
    wide -= low[:, None, None]
    wide /= divisor[:, None, None]
    levels = np.clip(np.rint(wide, out=wide), 0, LEVELS).astype(np.uint8)
    return levels, np.stack([low, step], axis=1)


def stored_arrays(codec: Codec, size: str, activation: NDArray[np.float16]) -> dict[str, Any]:
    """Return what is written for the maps of one row and size, by array name."""
    if not codec.quantised:
        return {f"features/{size}": activation}
    levels, scales = quantise(activation)
    return {f"features/{size}": levels, f"scales/{size}": scales}


def dequantise(levels: NDArray[np.uint8], scales: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return ``minimum + level · step``, in float32 and then rounded to float16.

    It differs from the input of `quantise` by at most half a step and float16's rounding.

    Parameters
    ----------
    levels : uint8 array of shape (C, h, w)
    scales : float32 array of shape (C, 2)

    Returns
    -------
    float16 array of shape (C, h, w)
    """
    wide = levels.astype(np.float32)
    wide *= scales[:, 1, None, None]
    wide += scales[:, 0, None, None]
    # Rounding in float32 may put the highest level just beyond float16's largest number.
    largest = np.float32(np.finfo(np.float16).max)
    return np.clip(wide, -largest, largest, out=wide).astype(np.float16)
