"""What files beside label maps say of classes: names, and the ids or colours that stand for them.

=================== ============================================================================
file                says
=================== ============================================================================
``classes.json``    names; the position, or ``"id"``, is the id in label maps; colours, if given
``classes.txt``     names; the line is the id
``labelmap.txt``    CVAT's: names and colours, ``cat:128,0,0::``; ids mean nothing
``class_dict.csv``  names and colours, ``cat,128,0,0``; ids mean nothing
``class_names.txt`` labelme's: as ``classes.txt``
=================== ============================================================================
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ...store.errors import InputError
from ...store.texts import parse_json, read_text
from ...store.urls.location import Location
from ..annotations.tools.labelmap_txt import read_labelmap
from ..labels.classes import (
    Classes,
    Colour,
    checked_names,
    classes_in,
    classes_of,
    colour_of,
    default_colour,
)

__all__ = ["BACKGROUNDS", "VOID_BORDER", "ClassTable", "load_class_table", "read_class_table"]

Say = Callable[[str], None] | None

BACKGROUNDS = frozenset({"background", "_background_"})
"""What programs call the class of all that is nothing else, in lower case."""

_OTHERS = ("labelmap.txt", "class_dict.csv", "class_names.txt")
"""Files that are looked for where there is neither ``classes.json`` nor ``classes.txt``."""

_VOIDS = frozenset(
    {"unlabelled", "unlabeled", "void", "ignore", "ignored", "__ignore__", "don't care"}
)
"""What programs call pixels without a class, in lower case."""

VOID_BORDER: Colour = (224, 224, 192)
"""The colour that PASCAL VOC draws around objects, where nothing is said."""

_COLOUR_LINE = re.compile(r".*:\d{1,3},\d{1,3},\d{1,3}:[^:]*:[^:]*")  # CVAT's
_CSV_LINE = re.compile(r"([^,;]+)[,;\t]\s*(\d{1,3})\s*[,;\t]\s*(\d{1,3})\s*[,;\t]\s*(\d{1,3})\s*")


@dataclass(frozen=True)
class ClassTable:
    """Classes, and what stands for them in label maps.

    Parameters
    ----------
    source : str
        What messages call it, such as "labelmap.txt".
    classes : Classes
    ids : mapping of int to int, optional
        The class of each id; None if the id is the class.
    colours : mapping of (red, green, blue) to int
        The class of each colour; -1 for pixels without a class. Empty if the file gives none.
    voids : tuple of int
        Ids of pixels without a class.
    by_colour : bool
        Whether colours count alone, and ids mean nothing.
    """

    source: str
    classes: Classes
    ids: Mapping[int, int] | None = None
    colours: Mapping[Colour, int] = field(default_factory=dict)
    voids: tuple[int, ...] = ()
    by_colour: bool = False

    def with_class(
        self, name: str, *, number: int | None = None, colour: Colour | None = None
    ) -> Self:
        """Return a table with an id or a colour of a class, which is added if there is none."""
        made = self.classes
        if name not in made.names:
            shown = default_colour(len(made)) if colour is None else colour
            made = Classes((*made.names, name), (*made.colours, shown))
        k = made.names.index(name)
        ids = self.ids if number is None else {**(self.ids or {}), number: k}
        colours = self.colours if colour is None else {**self.colours, colour: k}
        return replace(self, classes=made, ids=ids, colours=colours)


def load_class_table(folder: Location, say: Say = None) -> ClassTable | None:
    """Read what a folder of label maps, or else its parent folder, says of classes.

    Parameters
    ----------
    folder : path
    say : callable, optional
        Called with a message about what a file holds besides names.

    Raises
    ------
    InputError
        If a file cannot be read as described, or two of a folder disagree.
    """
    folder = folder.resolve()
    for parent in (folder, folder.parent):
        own = parent / "classes.json"
        if own.is_file() and not (parent / "classes.txt").is_file():
            return read_class_table(own, say)
        found = classes_in(parent, say)
        if found is not None:
            return _of_classes(*found)
        for name in _OTHERS:
            if (parent / name).is_file():
                return read_class_table(parent / name, say)
    return None


def read_class_table(path: Location, say: Say = None) -> ClassTable:
    """Read a file that says of classes what a file beside label maps may say, whatever its name.

    Raises
    ------
    InputError
        If it cannot be read as one of them.
    """
    if path.suffix.lower() == ".json":
        return _numbered(path) or _of_classes(path, classes_of(path, say))
    lines = _lines(path)
    if path.suffix.lower() == ".csv":
        return _of_colours(path, _rows(path, lines))
    if path.name == "labelmap.txt" or (lines and _COLOUR_LINE.fullmatch(lines[0])):
        return _of_colours(path, read_labelmap(path))
    return _of_classes(path, classes_of(path, say))


def _lines(path: Location) -> list[str]:
    """Return the lines of a text that are neither empty nor comments, cut to a bound."""
    try:
        lines = [line.strip()[:2000] for line in read_text(path).splitlines()]
    except ValueError as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
    return [line for line in lines if line and not line.startswith("#")]


def _rows(path: Location, lines: Sequence[str]) -> list[tuple[str, Colour]]:
    """Return names and colours of a table, which may have a header: a line without a digit."""
    if lines and not any(map(str.isdigit, lines[0])):
        lines = lines[1:]
    found = []
    for line in lines:
        match = _CSV_LINE.fullmatch(line)
        colour = tuple(int(match[k]) for k in (2, 3, 4)) if match else (256, 256, 256)
        if match is None or max(colour) > 255:
            raise InputError(
                f"'{path}' has the line '{line[:80]}': expected lines such as cat,128,0,0"
            )
        found.append((match[1].strip(), (colour[0], colour[1], colour[2])))
    return found


def _of_classes(path: Location, classes: Classes) -> ClassTable:
    """Return a table whose ids are the classes; with those colours that the file gives itself."""
    entries = _entries(path) if path.suffix.lower() == ".json" else []
    by_name = {str(entry["name"]).strip() for entry in entries if _raw_colour(entry) is not None}
    pairs = zip(classes.names, classes.colours, strict=True)
    chosen = [(colour, k) for k, (name, colour) in enumerate(pairs) if name in by_name]
    return ClassTable(path.name, classes, None, _distinct(path, classes, chosen))


def _numbered(path: Location) -> ClassTable | None:
    """Return the table of a ``classes.json`` whose ids are not those of positions; else None."""
    entries = _entries(path)
    ids = [one for entry in entries if type(one := entry.get("id")) is int]
    if not ids or len(set(ids)) < len(entries) or sorted(ids) == list(range(len(ids))):
        return None
    named = sorted(zip(ids, entries, strict=True), key=lambda pair: pair[0])
    kept = [(number, entry) for number, entry in named if not _is_void(entry.get("name"))]
    voids = tuple(number for number, entry in named if _is_void(entry.get("name")))
    try:
        classes = checked_names(path, Classes.from_list([entry for _, entry in kept]))
    except InputError as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
    chosen = [
        (classes.colours[k], k)
        for k, (_, entry) in enumerate(kept)
        if _raw_colour(entry) is not None
    ]
    chosen += [
        (colour_of(k, given), -1)
        for k, (_, entry) in enumerate(named)
        if _is_void(entry.get("name")) and (given := _raw_colour(entry)) is not None
    ]
    by_id = {number: k for k, (number, _) in enumerate(kept)}
    return ClassTable(path.name, classes, by_id, _distinct(path, classes, chosen), voids)


def _entries(path: Location) -> list[dict[str, Any]]:
    """Return the objects of a JSON list; none where it is something else, or damaged."""
    try:
        plain = parse_json(read_text(path))
    except ValueError:  # `classes_of` says what is wrong
        return []
    if not isinstance(plain, list) or not all(isinstance(entry, dict) for entry in plain):
        return []
    return plain


def _raw_colour(entry: Mapping[str, Any]) -> object:
    return entry.get("colour", entry.get("color"))


def _is_void(name: object) -> bool:
    return isinstance(name, str) and name.strip().lower() in _VOIDS


def _of_colours(path: Location, rows: Sequence[tuple[str, Colour]]) -> ClassTable:
    """Return the table of names and colours; the background becomes class 0."""
    rows = sorted(rows, key=lambda row: row[0].lower() not in BACKGROUNDS)
    kept = [row for row in rows if not _is_void(row[0])]
    if not kept:
        raise InputError(f"'{path}' names no class")
    names, colours = zip(*kept, strict=True)
    classes = checked_names(path, Classes(names, colours))
    chosen = [(colour, k) for k, (_, colour) in enumerate(kept)]
    chosen += [(colour, -1) for name, colour in rows if _is_void(name)]
    return ClassTable(path.name, classes, None, _distinct(path, classes, chosen), by_colour=True)


def _distinct(
    path: Location, classes: Classes, pairs: Sequence[tuple[Colour, int]]
) -> dict[Colour, int]:
    """Return the class of each colour; of none, if one stands for two and ids can tell them."""
    found: dict[Colour, int] = {}
    for colour, k in pairs:
        j = found.setdefault(colour, k)
        if j != k and min(j, k) >= 0:
            if path.suffix.lower() == ".json":
                return {}
            raise InputError(
                f"'{path}' gives '{classes.names[j]}' and '{classes.names[k]}' one colour, "
                f"{colour}: which one a pixel is of, cannot be told"
            )
    return found
