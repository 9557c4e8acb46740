"""``labelmap.txt``: which colour is which class in the masks of CVAT's "Segmentation mask 1.1".

Specification: https://docs.cvat.ai/docs/dataset_management/formats/format-smask/.
"""

from ...store.errors import InputError
from ...store.texts import read_text
from ...store.urls.location import Location
from .model import Colour

__all__ = ["read_labelmap"]

_EXPECTED = "expected lines such as 'cat:128,0,0::'"


def read_labelmap(path: Location) -> tuple[tuple[str, Colour], ...]:
    """Return the classes of a ``labelmap.txt`` in their order, each with its colour.

    Parameters
    ----------
    path : path
        A line has four fields with ":" between them: name, red, green and blue, parts, actions;
        lines that begin with "#" are comments.

    Raises
    ------
    InputError
        If a line is none of these, or two classes share a name or a colour.
    """
    try:
        lines = read_text(path).splitlines()
    except ValueError as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
    classes: dict[str, Colour] = {}
    owner: dict[Colour, str] = {}
    for k, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, colour = _entry(line)
        except ValueError:
            raise InputError(f"'{path}' has in line {k} {line[:60]!r}: {_EXPECTED}") from None
        if name in classes or owner.setdefault(colour, name) != name:
            what = f"the name '{name}'" if name in classes else f"the colour of '{owner[colour]}'"
            raise InputError(f"'{path}' gives in line {k} {what} to another class")
        classes[name] = colour
    if not classes:
        raise InputError(f"'{path}' names no class: {_EXPECTED}")
    return tuple(classes.items())


def _entry(line: str) -> tuple[str, Colour]:
    """Return name and colour; a name may have ":" in it."""
    name, colour, _, _ = line.rsplit(":", 3)
    red, green, blue = (int(part) for part in colour.split(","))
    if not name.strip() or not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError
    return name.strip(), (red, green, blue)
