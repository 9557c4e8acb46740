"""Pictures in which colours stand for classes: RGB, RGBA, LA, palettes.

Pixels whose colour stands for no class lie at borders that were smoothed, by anti-aliasing or JPEG:
they get, of the classes near by, the one whose colour is nearest. So the border between black and
white does not become a line of grey. A whole area of an unknown colour is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from ...store.urls.location import Location
from ..labels.classes import Colour
from .index_maps import REFUSE_OFF
from .label_set import dtype_of
from .pixels import Pixels, read_pixels

__all__ = ["Coloured", "bands", "colours_in", "flat", "packed", "unpacked"]

_TOLERANCE = 12
"""By which each channel may differ from a class's colour, as in JPEGs of good quality."""

_FLAT, _FLAT_SHARE = 50, 0.001
"""Pixels of an unknown colour that are surrounded by it: more, and of more of the picture, are no
border."""

_REACH = 2
"""Pixels from an unknown one to the classes that it may belong to."""

_CHUNK = 1 << 20
"""Pixels that are looked at at a time."""


def packed(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Return colours, (…, 3) uint8, as one number each."""
    wide = values.astype(np.uint32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], np.uint32)


def unpacked(colour: int) -> Colour:
    """Return the colour of such a number.

    >>> unpacked(0x0C0800)
    (12, 8, 0)
    """
    return colour >> 16, colour >> 8 & 255, colour & 255


def colours_in(pixels: Pixels) -> NDArray[np.uint8]:
    """Return the colour of each pixel, (H, W, 3): of numbers their palette's, or grey."""
    values = pixels.values
    if values.ndim == 3:
        return values.astype(np.uint8, copy=False)
    if pixels.palette is not None:
        palette = np.zeros((256, 3), np.uint8)
        held = np.frombuffer(pixels.palette[:768], np.uint8).reshape(-1, 3)
        palette[: len(held)] = held
        return np.asarray(palette[values], np.uint8)
    grey = np.clip(values, 0, 255).astype(np.uint8)
    return np.stack([grey] * 3, axis=2)


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the rows of an image a few at a time, so that what is computed of them is small."""
    step = max(1, _CHUNK // max(1, shape[1]))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def flat(colours: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return where 3×3 pixels have one colour, (H, W): not at borders, nor in thin lines."""
    same = np.zeros(colours.shape, bool)
    if min(colours.shape) < 3:
        return same
    rows = (colours[:, 1:-1] == colours[:, :-2]) & (colours[:, 1:-1] == colours[:, 2:])
    centre = colours[1:-1, 1:-1]
    same[1:-1, 1:-1] = rows[:-2] & rows[1:-1] & rows[2:]
    same[1:-1, 1:-1] &= (centre == colours[:-2, 1:-1]) & (centre == colours[2:, 1:-1])
    return same


@lru_cache(maxsize=2)
def _numbers_of(colours: tuple[Colour, ...]) -> NDArray[np.int32]:
    """Return the number of each of all colours, (256, 256, 256); -1 of those near none. 64 MB.

    Near is by how much each channel may differ; less, where a colour would else be near two.
    """
    table = np.array(colours, np.int64)
    apart = np.abs(table[:, None] - table[None]).max(axis=2)
    np.fill_diagonal(apart, 255)
    near = int(min(_TOLERANCE, (apart.min() - 1) // 2))
    numbers = np.full((256, 256, 256), -1, np.int32)
    for k, colour in enumerate(table.tolist()):
        red, green, blue = (slice(max(0, v - near), v + near + 1) for v in colour)
        numbers[red, green, blue] = k
    return numbers


@dataclass(frozen=True)
class Coloured:
    """A picture whose colours stand for classes.

    Parameters
    ----------
    colours : tuple of (red, green, blue)
        Each stands for a class, or for none.
    ids : tuple of int
        The id of each: a class, or the ignore label.
    clear : int
        The id of transparent pixels.
    source : str
        Where the colours are listed, for messages.
    """

    colours: tuple[Colour, ...]
    ids: tuple[int, ...]
    clear: int
    source: str

    @classmethod
    def of(cls, colours: Mapping[Colour, int], ignore: int, clear: int, source: str) -> "Coloured":
        """Return how to read colours of classes; -1 stands for none."""
        ids = tuple(ignore if k < 0 else k for k in colours.values())
        return cls(tuple(colours), ids, clear, source)

    def read(
        self, file: Location, what: str, size: tuple[int, int] | None
    ) -> tuple[NDArray[np.integer[Any]], None]:
        """Read a label map, see `Form.read`.

        An area of an unknown colour is refused, and a picture with many pixels of such.
        """
        ids, off, _ = self.read_and_count(file, what)
        if off > REFUSE_OFF * ids.size:
            raise InputError(
                f"{what} '{file}' has other colours than {self.source} in "
                f"{100 * off / ids.size:.0f} % of its pixels: is it a mask, and are these its "
                "colours? `dseg labels convert --classes FILE` reads them by another list"
            )
        return ids, None

    def read_and_count(
        self, file: Location, what: str
    ) -> tuple[NDArray[np.integer[Any]], int, int]:
        """Return the ids, and how many pixels have none of the colours, of how many pixels.

        If those are too many, the ids mean nothing.
        """
        pixels = read_pixels(file, what)
        values = colours_in(pixels)
        places = self._exact(values)
        off = places < 0
        if pixels.clear is not None:
            off &= ~pixels.clear
        count = int(np.count_nonzero(off))
        if count > REFUSE_OFF * off.size:
            return np.zeros(off.shape, np.uint8), count, off.size
        if count:
            self._refuse_areas(values, off, f"{what} '{file}'")
            places[off] = self._near(values, places, off)
        highest, lowest = max(self.clear, *self.ids), min(self.clear, *self.ids)
        ids = np.array(self.ids, dtype_of(highest + 1, min(lowest, 0)))[places]
        if pixels.clear is not None:
            ids[pixels.clear] = self.clear
        return ids, count, ids.size

    def _exact(self, values: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the number of each pixel's colour, (H, W); -1 where it is none."""
        numbers = _numbers_of(self.colours).ravel()
        places = np.empty(values.shape[:2], np.int32)
        for rows in bands(values.shape):
            places[rows] = numbers[packed(values[rows])]
        return places

    def _refuse_areas(self, values: NDArray[np.uint8], off: NDArray[np.bool_], what: str) -> None:
        colours = packed(values)
        areas = colours[off & flat(colours)]
        if not len(areas):
            return
        numbers, counts = np.unique(areas, return_counts=True)
        most = int(counts.argmax())
        if counts[most] > max(_FLAT, _FLAT_SHARE * off.size):
            colour = unpacked(int(numbers[most]))
            hexadecimal = "#" + bytes(colour).hex()
            n = int(np.count_nonzero(colours == numbers[most]))
            raise InputError(
                f"{what} has the colour {hexadecimal} in {n} pixels, which is in {self.source} for "
                f'no class: add it there, such as {{"name": …, "colour": {list(colour)}}} in '
                "classes.json"
            )

    def _near(
        self, values: NDArray[np.uint8], places: NDArray[np.int32], off: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        """Return for pixels of unknown colours the number of the nearest colour around them."""
        around, table = np.pad(places, _REACH, constant_values=-1), np.array(self.colours, np.int32)
        every_y, every_x = np.nonzero(off)
        found = np.empty(len(every_y), np.int32)
        side = 2 * _REACH + 1
        for start in range(0, len(every_y), _CHUNK // 8):
            part = slice(start, start + _CHUNK // 8)
            y, x = every_y[part], every_x[part]
            own = values[y, x].astype(np.int32)
            best = np.full(len(y), np.iinfo(np.int32).max)
            chosen = np.full(len(y), -1, np.int32)
            for dy in range(side):
                for dx in range(side):
                    other = around[y + dy, x + dx]
                    away = np.square(own - table[other]).sum(axis=1, dtype=np.int32)
                    nearer = (other >= 0) & (away < best)
                    best[nearer], chosen[nearer] = away[nearer], other[nearer]
            alone = np.flatnonzero(chosen < 0)
            for k, colour in enumerate(table):
                away = np.square(own[alone] - colour).sum(axis=1, dtype=np.int32)
                nearer = away < best[alone]
                best[alone[nearer]], chosen[alone[nearer]] = away[nearer], k
            found[part] = chosen
        return found
