"""How image files are read: which plane and bands, and which values become black and white."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ...store.errors import InputError
from .rasters.planes import FIRST_PLANE, PlaneChoice

__all__ = [
    "FULL",
    "MOST_BANDS",
    "MOST_PIXELS",
    "MOST_WINDOWED",
    "Levels",
    "ReadingSpec",
]

FULL = 65535
"""White unless another is given or found: that of 16 bits, all of them used."""
MOST_PIXELS = 178_956_970
"""Of an image that is decoded whole, unless more are allowed: Pillow's own limit."""
MOST_WINDOWED = 2**30
"""Of an image that is read by rows, in fixed memory; masks have as many pixels."""
MOST_BANDS = 4096
"""More than any sensor has; a spec may name so many."""


@dataclass(frozen=True)
class Levels:
    """Which values become black and white in images of other values than 8 bits.

    Parameters
    ----------
    ranges : tuple of (low, high)
        One for all bands, or one a band; none if each image has its own.
    percentiles : (low, high), optional
        Each image's own: the shares of its values, in percent, that become black and white.
    """

    ranges: tuple[tuple[float, float], ...] = ()
    percentiles: tuple[float, float] | None = None

    def to_plain(self) -> Any:
        """Return plain JSON values; `from_plain` is the inverse."""
        if self.percentiles is not None:
            return {"of": "image", "percentiles": list(self.percentiles)}
        return [list(pair) for pair in self.ranges]

    @classmethod
    def from_plain(cls, plain: Any) -> Self:
        """Return what `to_plain` has written.

        Raises
        ------
        ValueError
            If it is something else.
        """
        own = isinstance(plain, Mapping)
        if own and plain.get("of") != "image":
            raise ValueError("no levels")
        pairs = [plain["percentiles"]] if own else list(plain)
        ranges = tuple((float(low), float(high)) for low, high in pairs)
        for low, high in ranges:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"no levels: from {low} to {high}")
        if not 0 < len(ranges) <= MOST_BANDS:
            raise ValueError("no levels")
        if not own:
            return cls(ranges)
        if ranges[0][0] < 0 or ranges[0][1] > 100:
            raise ValueError(f"no percentiles: {ranges[0]}")
        return cls((), ranges[0])


@dataclass(frozen=True)
class ReadingSpec:
    """How image files are read.

    Parameters
    ----------
    white : int
        The value of images of 16 bits a channel that is white, where there are no levels.
    bands : tuple of int
        Numbers of the channels, from 1, that are read, in this order: one (grey) or three (RGB).
        None are named: what a file has, if that is grey or RGB.
    plane : PlaneChoice
        Of files of several.
    levels : Levels, optional
        Of all images of more than 8 bits.
    most_pixels : int
        Of an image that is decoded whole. It changes no value.
    """

    white: int = FULL
    bands: tuple[int, ...] = ()
    plane: PlaneChoice = FIRST_PLANE
    levels: Levels | None = None
    most_pixels: int = field(default=MOST_PIXELS, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether neither bands, nor plane, nor levels are named."""
        return not self.bands and not self.plane and self.levels is None

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the default, plain JSON values: hashes of old specs stay."""
        plain: dict[str, Any] = {}
        if self.white != FULL:
            plain["white"] = self.white
        if self.bands:
            plain["bands"] = list(self.bands)
        if self.plane:
            plain["plane"] = self.plane.to_dict()
        if self.levels is not None:
            plain["levels"] = self.levels.to_plain()
        return plain

    @classmethod
    def of(cls, preprocessing: Mapping[str, Any]) -> Self:
        """Return how the images of features were read, from their spec.

        Raises
        ------
        InputError
            If it says something else.
        """
        try:
            bands = _bands(preprocessing.get("bands", ()))
            named = preprocessing.get("plane")
            plane = FIRST_PLANE if named is None else PlaneChoice.from_dict(named)
            levels = preprocessing.get("levels")
            found = None if levels is None else Levels.from_plain(levels)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise InputError(f"the features do not say how images are read: {error}") from error
        return cls(_white(preprocessing.get("white", FULL)), bands, plane, found)

    def words(self) -> str:
        """Return it in words, as options; empty if nothing is named."""
        parts = []
        if self.bands:
            parts.append(f"bands {','.join(map(str, self.bands))}")
        if self.plane:
            parts.append(f"plane {self.plane}")
        if self.levels is not None and self.levels.percentiles is not None:
            low, high = self.levels.percentiles
            parts.append(f"levels {low:g}% and {high:g}% of each image")
        elif self.levels is not None:
            shown = ", ".join(f"{low:g} to {high:g}" for low, high in self.levels.ranges[:4])
            parts.append(f"levels {shown}{', …' if len(self.levels.ranges) > 4 else ''}")
        if self.white != FULL:
            parts.append(f"white {self.white}")
        return ", ".join(parts)


def _bands(plain: Any) -> tuple[int, ...]:
    listed = isinstance(plain, Sequence) and not isinstance(plain, str)
    if not listed or len(plain) > MOST_BANDS or any(type(n) is not int or n < 1 for n in plain):
        raise ValueError("bands are whole numbers from 1")
    return tuple(plain)


def _white(white: Any) -> int:
    if type(white) is not int or not 1 <= white <= FULL:
        raise InputError(f"the features have {white!r} for white: expected a number up to {FULL}")
    return white
