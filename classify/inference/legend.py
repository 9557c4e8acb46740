"""What the colours of overlays mean: one picture for all of them."""

from collections.abc import Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import cast

from PIL import Image, ImageDraw, ImageFont

from ...store.whole_file import write_whole
from ..labels.classes import Colour

__all__ = ["write_legend"]

_TEXT, _LINE, _PATCH, _GAP = 18, 28, 20, 10  # pixels
_COLUMN, _MOST = 24, 40  # lines of a column, characters of a name
_WHITE, _INK = (255, 255, 255), (30, 30, 30)


def write_legend(path: Path, names: Sequence[str], colours: Sequence[Colour]) -> None:
    """Draw a patch of each class's colour, then its number and name.

    Parameters
    ----------
    path : path
        Of a PNG.
    names : sequence of str
        Of any script; long ones are cut. Characters that the font lacks are drawn as boxes, so each
        class has its number, too.
    colours : sequence of (red, green, blue)

    Raises
    ------
    DsegError
        If the file cannot be written.
    """
    font = _font()
    lines = [f"{k}  {_shown(name)}" for k, name in enumerate(names)]
    columns = [lines[first : first + _COLUMN] for first in range(0, len(lines), _COLUMN)]
    widths = [
        _PATCH + 3 * _GAP + max(ceil(font.getlength(line)) for line in column) for column in columns
    ]
    size = (_GAP + sum(widths), 2 * _GAP + _LINE * len(columns[0]))
    picture = Image.new("RGB", size, _WHITE)
    pen = ImageDraw.Draw(picture)
    for number, column in enumerate(columns):
        left = _GAP + sum(widths[:number])
        for row, line in enumerate(column):
            middle = _GAP + row * _LINE + _LINE // 2
            box = (left, middle - _PATCH // 2, left + _PATCH, middle + _PATCH // 2)
            pen.rectangle(box, fill=colours[number * _COLUMN + row], outline=_INK)
            pen.text((left + _PATCH + _GAP, middle), line, _INK, font=font, anchor="lm")
    file = BytesIO()
    picture.save(file, format="PNG")
    write_whole(path, file.getvalue())


def _shown(name: str) -> str:
    """Return a name that fits on one line."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return plain if len(plain) <= _MOST else plain[: _MOST - 1] + "…"


def _font() -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, of the fonts at hand the one with most scripts; else Pillow's own."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:  # it comes with the extra "plots"
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(_TEXT))
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), _TEXT)
