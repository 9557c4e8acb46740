"""What an annotation file may ask for: it may come from anybody, and must not fill the memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ....store.format.bounds import MOST_PIXELS
from .model import Bitmap, Colour
from .packed import packed

__all__ = [
    "MOST_BYTES",
    "MOST_CONTAINERS",
    "MOST_COORDINATE",
    "MOST_MASK_PIXELS",
    "MOST_PIXELS",
    "PixelBudget",
    "checked_points",
    "checked_size",
    "colour_in",
    "number",
    "number_in",
    "whole_number",
]

MOST_BYTES = 128 * 2**20
"""Of an annotation file, which with `MOST_CONTAINERS` has 2.5 GB in memory at most."""

MOST_COORDINATE = 1e9
"""Of a shape's corner, in pixels: beyond it a file is damaged, not its shape large."""


MOST_CONTAINERS = 4_000_000
"""Lists and objects in a JSON file; an empty one has 80 bytes in memory, of 3 in the file."""

MOST_MASK_PIXELS = 2**33
"""Of the masks in an annotation file, each cut to its frame: they take a minute or two."""


class PixelBudget:
    """Counts the pixels of the masks of a file, and packs them: together they may be many."""

    def __init__(self) -> None:
        self._taken = 0

    def take(self, bitmap: Bitmap) -> Bitmap:
        """Return a mask, packed.

        Raises
        ------
        InputError
            If the file's masks together have more than `MOST_MASK_PIXELS` pixels by now.
        """
        self._taken += bitmap.pixels.size
        if self._taken > MOST_MASK_PIXELS:
            raise InputError(
                f"its masks have together more than {MOST_MASK_PIXELS} pixels, the most that dseg "
                "reads: split it into files of fewer images"
            )
        return packed(bitmap)


def checked_size(height: object, width: object) -> tuple[int, int]:
    """Return the size of an image that a file states, as (height, width).

    Raises
    ------
    InputError
        If it is none, or beyond `MOST_PIXELS`.

    Examples
    --------
    >>> checked_size(480, 640.0)
    (480, 640)
    """
    h, w = whole_number(height, "height"), whole_number(width, "width")
    if h < 1 or w < 1:
        raise InputError(f"it states the size {w}×{h}: expected whole numbers above 0")
    if h * w > MOST_PIXELS:
        raise InputError(
            f"it states an image of {w}×{h}, but {MOST_PIXELS} pixels are the most that dseg reads"
        )
    return h, w


def whole_number(value: object, what: str) -> int:
    """Return a whole number that a file gives, also as 7.0.

    Raises
    ------
    InputError
        If it is none; the words say what it should be.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    raise InputError(f"its {what} is {_short(value)}: expected a whole number")


def number(value: object, what: str) -> float:
    """Return a coordinate or length that a file gives, in its own unit.

    Raises
    ------
    InputError
        If it is no number, not finite, or beyond `MOST_COORDINATE`; the words say what it should
        be.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if -MOST_COORDINATE <= value <= MOST_COORDINATE:
            return float(value)
        raise InputError(f"its {what} is {_short(value)}: {MOST_COORDINATE:.0e} is the most")
    raise InputError(f"its {what} is {_short(value)}: expected a number")


def number_in(text: str, what: str) -> float:
    """Return a coordinate or length that a file gives as text: see `number`."""
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"its {what} is {_short(text)}: expected a number") from None
    return number(value, what)


def colour_in(value: object) -> Colour | None:
    """Return a colour that a file gives as a list; None if it is none, for nothing depends on it.

    Examples
    --------
    >>> colour_in([255, 0, 0]), colour_in([0, 9, 0, 255]), colour_in([0.5, 0, 0])
    ((255, 0, 0), (0, 9, 0), None)
    """
    if not isinstance(value, list) or len(value) not in (3, 4):  # the fourth is alpha
        return None
    if not all(type(part) is int and 0 <= part <= 255 for part in value):
        return None
    return value[0], value[1], value[2]


def checked_points(values: object, what: str) -> NDArray[np.float64]:
    """Return points of a file, given as pairs or one number after the other.

    Parameters
    ----------
    values : list
        Of numbers or of pairs of numbers.
    what : str
        Such as "polygon", for messages.

    Returns
    -------
    array of shape (n, 2), float64
        x and y.

    Raises
    ------
    InputError
        If they are no such list, not finite, or beyond `MOST_COORDINATE`.

    Examples
    --------
    >>> checked_points([0, 0, 2.5, 1], "polygon")
    array([[0. , 0. ],
           [2.5, 1. ]])
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise InputError(f"its {what} is {_short(values)}: expected a list of coordinates")
    try:
        points = np.asarray(values)
    except (ValueError, OverflowError, RecursionError):  # pairs and others, mixed
        points = np.asarray([None])
    flat = points.ndim == 1 and len(points) % 2 == 0
    pairs = points.ndim == 2 and points.shape[1] == 2
    if not len(values) or points.dtype.kind not in "iuf" or not (flat or pairs):
        raise InputError(f"its {what} is {_short(values)}: expected numbers x, y, x, y, …")
    found = points.astype(np.float64).reshape(-1, 2)
    if not (np.abs(found) <= MOST_COORDINATE).all():
        worst = found.flat[int(np.argmin(np.abs(found) <= MOST_COORDINATE))]
        raise InputError(
            f"its {what} has the coordinate {worst}: expected numbers up to {MOST_COORDINATE:.0e}"
        )
    return found


def _short(value: object) -> str:
    if isinstance(value, int) and abs(value) >= 2**64:  # Python refuses to print very long ones
        return "a number of more than 64 bits"
    if isinstance(value, list | tuple | dict) and len(value) > 6:
        return f"a list of {len(value)} values"
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}…"
