"""Values of any kind, brought to the 8 bits of network input by the levels or white of a run."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .levels import scaled
from .rasters.raster import Raster
from .rasters.unsuitable import Unsuitable
from .reading_spec import FULL, Levels, ReadingSpec

__all__ = ["Scaling", "chosen_channels", "percentiles_of", "sampled_values"]

_SAMPLED = 100_000
"""Pixels of an image whose values its percentiles are taken from."""


def chosen_channels(raster: Raster, bands: Sequence[int]) -> list[int]:
    """Return the numbers, from 0, of the channels that are read.

    Raises
    ------
    Unsuitable
        If the file lacks one, or none are named and it is neither grey nor RGB.
    """
    count = raster.channels
    if bands:
        if max(bands) > count:
            raise Unsuitable(
                f"has {count} channel{'s' if count > 1 else ''}, but band {max(bands)} is asked "
                "for: use --bands with numbers that it has"
            )
        return [band - 1 for band in bands]
    if count == 1:
        return [0]
    if count in (3, 4) and raster.plain_channels:
        return [0, 1, 2]
    raise Unsuitable(
        f"has {count} channels; dseg reads 1 (grey), 3 (RGB) or 4 (RGBA) by itself: choose one or "
        "three of them with --bands, such as --bands " + ("1" if count < 3 else "3,2,1")
    )


class Scaling:
    """Brings the values of one image to 8 bits.

    Values of 8 bits stay as they are. Others are scaled between levels if there are any, else by
    white. What is not finite, or is the file's value for "no data", becomes 0.

    Parameters
    ----------
    raster : Raster
    reading : ReadingSpec
    channels : sequence of int
        Those that are read.

    Raises
    ------
    Unsuitable
        If nothing says which values are black and white, or there are more bands than levels.
    """

    def __init__(self, raster: Raster, reading: ReadingSpec, channels: Sequence[int]) -> None:
        self._nodata, self._white = raster.nodata, raster.white or reading.white
        # Pillow keeps the high bytes of such images, and features of them are in stores
        in_colour = reading.is_plain and len(channels) == 3 and raster.dtype.kind == "u"
        self._high_bytes = in_colour and raster.dtype.itemsize == 2 and self._white == FULL
        self._range: NDArray[np.float64] | None = None
        eight_bits = raster.dtype.kind in "bu" and raster.dtype.itemsize == 1
        if eight_bits:
            self._white = raster.white or 0  # fewer bits are brought to 8, 8 are as they are
        elif reading.levels is not None:
            self._range = _ranges(raster, reading.levels, channels)
        elif raster.dtype.kind not in "bui":
            raise Unsuitable(
                "has floating-point values, of which nothing says which are black and white: "
                "extract with --levels, such as --levels 0:1"
            )

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return values (rows, width, channels) as 8 bits."""
        if values.dtype.kind == "b":
            result: NDArray[np.uint8] = values.astype(np.uint8) * np.uint8(255)
        elif self._range is not None:
            result = self._between(values)
        elif self._white == 0:
            result = values
        elif self._high_bytes:
            result = (values >> 8).astype(np.uint8)
        else:
            result = self._by_white(values)
        if self._nodata is not None and not np.isnan(self._nodata):
            result = np.where(values == self._nodata, np.uint8(0), result)
        return result

    def _between(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        assert self._range is not None
        low, high = self._range[:, 0], self._range[:, 1]
        with np.errstate(invalid="ignore", over="ignore"):
            share = (values.astype(np.float64) - low) / (high - low)
        share = np.nan_to_num(share, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        levels: NDArray[np.uint8] = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
        levels[~np.isfinite(values)] = 0
        return levels

    def _by_white(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        if self._nodata is not None:
            values = np.where(values == self._nodata, np.zeros(1, values.dtype), values)
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        if low < 0 or high > FULL:
            raise ValueError(
                f"values from {low} to {high} do not fit 16 bits: give --levels, such as "
                f"--levels {low}:{high}"
            )
        return scaled(values.astype(np.uint16), self._white)


def _ranges(raster: Raster, levels: Levels, channels: Sequence[int]) -> NDArray[np.float64]:
    """Return low and high of each channel: (C, 2)."""
    if levels.percentiles is not None:
        values = sampled_values(raster, channels)
        return np.array([percentiles_of(band, levels.percentiles) for band in values])
    ranges = np.array(levels.ranges, np.float64)
    if len(ranges) not in (1, len(channels)):
        raise Unsuitable(
            f"is read in {len(channels)} bands, but there are levels for {len(ranges)}: give one "
            "pair of levels, or one a band"
        )
    return np.broadcast_to(ranges, (len(channels), 2))


def percentiles_of(values: NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the values below which so many percent lie, rounded to six digits, never equal.

    >>> percentiles_of(np.arange(101.0), (1, 99))
    (1.0, 99.0)
    """
    if not len(values):
        return 0.0, 1.0
    low, high = (float(f"{v:.6g}") for v in np.percentile(values.astype(np.float64), percentiles))
    return low, high if high > low else low + max(1.0, abs(low) * 1e-6)


def sampled_values(raster: Raster, channels: Sequence[int]) -> list[NDArray[Any]]:
    """Return values of each channel, of pixels evenly spread; without those that are none."""
    parts: list[list[NDArray[Any]]] = [[] for _ in channels]
    for values in _spread(raster, channels):
        for number, part in enumerate(parts):
            own = values[:, number]
            fine = np.isfinite(own)
            if raster.nodata is not None:
                fine &= own != raster.nodata
            part.append(own[fine])
    return [np.concatenate(part) for part in parts]


def _spread(raster: Raster, channels: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Yield pixels (n, C) of all parts of an image, about `_SAMPLED` of it."""
    height, width = raster.size
    every = max(1, height * width // _SAMPLED)
    start = 0
    for first, last in raster.blocks():
        pixels = raster.rows(first, last, channels).reshape(-1, len(channels))
        yield pixels[start::every]
        start = (start - len(pixels)) % every
