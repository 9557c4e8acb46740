"""One picture of what went in and what came out: image, mask, truth, uncertainty; a legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .tint import scale, tinted

__all__ = ["Example", "draw_picture"]

COLUMNS = ("image", "mask", "truth", "uncertainty")
PANEL = 256  # pixels of a panel's width, at least: images are enlarged by a whole number
GAP, LINE, TEXT, PATCH = 10, 32, 19, 20
BESIDE, BETWEEN = 7, 18  # pixels from a patch to its name, and to the next patch
WHITE, INK = (255, 255, 255), (30, 30, 30)


@dataclass(frozen=True)
class Example:
    """One row of the picture, all of one height and width.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    mask, truth : uint8 arrays of shape (H, W)
        Class ids.
    uncertainty : float array of shape (H, W)
        In nats, 0 where all members agree.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    uncertainty: NDArray[np.floating]


def draw_picture(
    examples: Sequence[Example],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    note: str = "",
) -> Image.Image:
    """Draw examples one below the other, what the colours mean below them, and a line of words.

    Parameters
    ----------
    examples : sequence of Example
        At least one; all of one size.
    names, colours : sequences
        Of each class.
    note : str
        Words for the last line.

    Returns
    -------
    PIL.Image.Image
        RGB. The uncertainty of all examples has one scale, from 0 to the largest value shown.
    """
    height, width = examples[0].mask.shape
    zoom = max(1, round(PANEL / width))
    panel = (zoom * width, zoom * height)
    top = max(float(max(example.uncertainty.max() for example in examples)), 1e-6)
    across = len(COLUMNS) * (panel[0] + GAP) - GAP
    legend, lines = _places(names, across)
    rows_end = LINE + len(examples) * (panel[1] + GAP)
    picture = Image.new("RGB", (across, rows_end + (lines + 1) * LINE), WHITE)
    pen = ImageDraw.Draw(picture)
    for column, title in enumerate(COLUMNS):
        middle = column * (panel[0] + GAP) + panel[0] / 2
        pen.text((middle, LINE / 2), title, INK, font=_font(), anchor="mm")
    for row, example in enumerate(examples):
        for column, pixels in enumerate(_panels(example, np.array(colours, np.uint8), top)):
            enlarged = Image.fromarray(pixels).resize(panel, Image.Resampling.NEAREST)
            picture.paste(enlarged, (column * (panel[0] + GAP), LINE + row * (panel[1] + GAP)))
    for name, colour, (x, line) in zip(names, colours, legend, strict=True):
        _patch(pen, (x, rows_end + line * LINE), name, colour)
    last = rows_end + lines * LINE + LINE / 2
    pen.text((0, last), note, INK, font=_font(), anchor="lm")
    _bar(picture, pen, (across - panel[0], across), last, top)
    return ImageOps.expand(picture, GAP, WHITE)  # an edge, for pages that are dark


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(TEXT)


def _panels(
    example: Example, colours: NDArray[np.uint8], top: float
) -> tuple[NDArray[np.uint8], ...]:
    """Return the pixels of a row's panels, each uint8 (H, W, 3), in the order of `COLUMNS`."""
    shown = (colours[example.mask], colours[example.truth])
    return example.image, *shown, tinted(example.uncertainty, top)


def _places(names: Sequence[str], across: int) -> tuple[list[tuple[int, int]], int]:
    """Return x and line of each class in the legend, and the number of lines."""
    places, x, line = [], 0, 0
    for name in names:
        wide = PATCH + BESIDE + ceil(_font().getlength(name))
        if x and x + wide > across:
            x, line = 0, line + 1
        places.append((x, line))
        x += wide + BETWEEN
    return places, line + 1


def _patch(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], name: str, colour: tuple[int, int, int]
) -> None:
    x, y = place[0], place[1] + (LINE - PATCH) // 2
    pen.rectangle((x, y, x + PATCH - 1, y + PATCH - 1), fill=colour, outline=INK)
    pen.text((x + PATCH + BESIDE, place[1] + LINE / 2), name, INK, font=_font(), anchor="lm")


def _bar(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    ends: tuple[int, int],
    middle: float,
    top: float,
) -> None:
    """Draw the scale of the uncertainty under its column."""
    low, high = "0", f"{top:.1f} nats"
    left = ends[0] + int(_font().getlength(low)) + 8
    right = ends[1] - int(_font().getlength(high)) - 8
    strip = np.broadcast_to(scale(right - left), (PATCH, right - left, 3))
    y = round(middle) - PATCH // 2
    picture.paste(Image.fromarray(np.ascontiguousarray(strip)), (left, y))
    pen.rectangle((left - 1, y - 1, right, y + PATCH), outline=INK)
    pen.text((ends[0], middle), low, INK, font=_font(), anchor="lm")
    pen.text((ends[1], middle), high, INK, font=_font(), anchor="rm")
