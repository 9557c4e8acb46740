"""The options that say how images are read: which bands and plane, and which values are black."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ...extract.images.rasters.planes import PlaneChoice
from ...extract.images.reading_spec import MOST_PIXELS
from ..console.values import Parsed

__all__ = ["max_pixels_option", "reading_options", "taken_choice"]

F = TypeVar("F", bound=Callable[..., Any])


def _bands(text: str) -> Any:
    if re.fullmatch(r"[1-9]\d{0,3}(\s*,\s*[1-9]\d{0,3})*", text) is None:
        raise ValueError("is not a list of band numbers from 1, such as 4,3,2")
    return tuple(int(part) for part in text.split(","))


def _levels(text: str) -> Any:
    from .reading_choice import parse_levels  # here, for it is slow to import

    return parse_levels(text)


def _pixels(text: str) -> int:
    match = re.fullmatch(r"(\d{1,10})([kMG]?)", text)
    found = int(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]] if match else 0
    if not 1 <= found <= 2**32:
        raise ValueError("is not a number of pixels up to 4G, such as 400M")
    return found


max_pixels_option = click.option(
    "--max-pixels",
    type=Parsed("NUMBER", _pixels),
    default=MOST_PIXELS,
    show_default=True,
    help="Largest image that is decoded whole, against decompression bombs: raise it, such as to "
    "400M, for large images that you trust. TIFF in strips or tiles needs it rarely.",
)


def reading_options(command: F) -> F:
    """Add the options ``--bands``, ``--plane``, ``--levels`` and ``--max-pixels`` to a command."""
    options = (
        click.option(
            "--bands",
            type=Parsed("N,N,…", _bands),
            help="Which channels of the images the network sees, numbers from 1: three (RGB), such "
            "as 4,3,2, or one (grey).",
        ),
        click.option(
            "--plane",
            type=Parsed("N|z=N,…", PlaneChoice.parse),
            help="Of files of several pages, slices or times, which is read: a number from 1, or "
            "max, mean or min over all; by axis as z=max,t=1. Default: the first.",
        ),
        click.option(
            "--levels",
            type=Parsed("LOW:HIGH|…", _levels),
            help="Which values become black and white in images of more than 8 bits: 0:3000, or "
            "one such pair per band; 1%:99%, percentiles of all images; or image, of each image.",
        ),
        max_pixels_option,
    )

    for option in reversed(options):
        command = option(command)
    return command


def taken_choice(given: dict[str, Any]) -> Any:
    """Take what `reading_options` gave out of the parameters of a command.

    Returns
    -------
    ReadingChoice
    """
    from .reading_choice import ReadingChoice

    names = ("bands", "plane", "levels", "max_pixels")
    return ReadingChoice(**{name: given.pop(name) for name in names if name in given})
