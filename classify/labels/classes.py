"""The classes of a label set: their names and the colours they are drawn in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ...store.errors import InputError
from ...store.texts import parse_json, read_text
from ...store.urls.location import Location, location
from .class_lines import entries_by_id, names_of_lines

__all__ = [
    "Classes",
    "Colour",
    "checked_names",
    "classes_in",
    "classes_of",
    "colour_of",
    "default_classes",
    "default_colour",
    "load_classes",
    "named_classes",
]

Colour = tuple[int, int, int]

_FILES = ("classes.json", "classes.txt")  # the first wins: it can hold colours

MOST_CLASSES = 65535
"""That 16 bits can number, less the one that marks pixels without a class."""

MOST_CHARACTERS = 1000
"""Of a class's name."""

# Okabe & Ito, "Color Universal Design" (2008): colour-blind eyes can distinguish them, too.
OKABE_ITO: tuple[Colour, ...] = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)

# From the ninth class on: of colours neither dark nor nearly white, always the one that is farthest
# in CIELAB from black and from all before it (and from violet, in which overlays show black): any
# two of the first 32 are 26 apart.
FARTHEST: tuple[Colour, ...] = (
    (0, 255, 0),
    (240, 225, 195),
    (255, 15, 195),
    (255, 0, 90),
    (0, 105, 255),
    (75, 165, 0),
    (135, 105, 45),
    (0, 255, 150),
    (0, 255, 255),
    (210, 135, 255),
    (105, 120, 120),
    (180, 240, 150),
    (255, 135, 120),
    (255, 0, 0),
    (165, 240, 0),
    (240, 210, 255),
    (210, 15, 120),
    (150, 150, 15),
    (255, 195, 120),
    (120, 150, 255),
    (150, 210, 210),
    (180, 45, 210),
    (75, 120, 45),
    (165, 90, 90),
)


def default_colour(k: int) -> Colour:
    """Return the colour of class k where nobody chose one; all classes' colours differ.

    The first eight are those of Okabe and Ito, then come colours far from those and from each
    other. From the 33rd on it is the colour map of the PASCAL VOC challenge, which spreads the bits
    of k over the high bits of red, green and blue; made lighter, for none is to be nearly black.

    Examples
    --------
    >>> default_colour(1), default_colour(8)
    ((230, 159, 0), (0, 255, 0))
    """
    chosen = OKABE_ITO + FARTHEST
    if k < len(chosen):
        return chosen[k]
    red = green = blue = 0
    for shift in range(8):
        bits = k >> (3 * shift)
        red |= (bits & 1) << (7 - shift)
        green |= (bits >> 1 & 1) << (7 - shift)
        blue |= (bits >> 2 & 1) << (7 - shift)
    return 80 + red * 11 // 16, 80 + green * 11 // 16, 80 + blue * 11 // 16


@dataclass(frozen=True)
class Classes:
    """Names and colours; the position is the class id.

    Parameters
    ----------
    names : tuple of str
    colours : tuple of (red, green, blue), each 0 to 255

    Raises
    ------
    InputError
        If there are not as many colours as names, or a colour is none.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.colours):
            raise InputError(
                f"{len(self.names)} class names were given with {len(self.colours)} colours: "
                "each class needs one of each"
            )
        for name, colour in zip(self.names, self.colours, strict=True):
            if len(colour) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in colour):
                raise InputError(
                    f"class '{name}' has the colour {colour!r}: "
                    "expected red, green and blue, each a whole number from 0 to 255"
                )

    def __len__(self) -> int:
        return len(self.names)

    def to_list(self) -> list[dict[str, Any]]:
        """Return what ``classes.json`` holds; `from_list` is the inverse."""
        pairs = zip(self.names, self.colours, strict=True)
        return [{"name": name, "colour": list(colour)} for name, colour in pairs]

    @classmethod
    def from_list(cls, plain: object) -> Self:
        """Build from a list of names, or of ``{"name": …, "colour": [r, g, b] or "#rrggbb"}``.

        Classes without a colour get `default_colour`.

        Raises
        ------
        InputError
            If it is no such list.
        """
        if not isinstance(plain, list) or not plain:
            raise InputError(
                "expected a list with one entry per class: a name or "
                '{"name": …, "colour": [r, g, b]}'
            )
        if len(plain) > MOST_CLASSES:
            raise InputError(f"it names {len(plain)} classes: {MOST_CLASSES} are the most")
        entries = [_entry(k, item) for k, item in enumerate(plain)]
        return cls(tuple(name for name, _ in entries), tuple(colour for _, colour in entries))


def default_classes(n: int) -> Classes:
    """Return n classes named by their numbers.

    Examples
    --------
    >>> default_classes(2).names
    ('class 0', 'class 1')
    """
    return named_classes([f"class {k}" for k in range(n)])


def named_classes(names: Sequence[str]) -> Classes:
    """Return classes of these names in the default colours."""
    return Classes(tuple(names), tuple(default_colour(k) for k in range(len(names))))


def load_classes(
    label_folder: str | Location, say: Callable[[str], None] | None = None
) -> Classes | None:
    """Read the classes that belong to a folder of label maps.

    They are in the folder, or else in its parent: ``classes.json``, a list with one entry a class,
    or ``classes.txt``, whose line k, counted from 0, names class k. If a folder has both, they must
    have the same names, and the JSON is used, because it can hold colours too.

    Parameters
    ----------
    label_folder : path
    say : callable, optional
        Called with a message about what the file holds besides names, see `class_lines`.

    Returns
    -------
    Classes or None
        None if there is no such file.

    Raises
    ------
    InputError
        If a file cannot be read as described, names a class twice, or the two disagree.
    """
    folder = location(label_folder).resolve()
    for parent in (folder, folder.parent):
        found = classes_in(parent, say)
        if found is not None:
            return found[1]
    return None


def classes_in(
    folder: Location, say: Callable[[str], None] | None = None
) -> tuple[Location, Classes] | None:
    """Read the classes that a folder itself names, with the file that does; see `load_classes`."""
    found = [path for name in _FILES if (path := folder / name).is_file()]
    read = [classes_of(path, say if path == found[0] else None) for path in found]
    if len(read) == 2 and read[0].names != read[1].names:
        raise InputError(
            f"'{found[0]}' and '{found[1]}' name different classes: remove one of them"
        )
    return (found[0], read[0]) if read else None


def classes_of(path: Location, say: Callable[[str], None] | None = None) -> Classes:
    """Read a file like ``classes.json``, or, by its ending, ``classes.txt``; see `load_classes`."""
    is_json = path.suffix.lower() == ".json"
    classes, notes = (_read_json if is_json else _read_text)(path)
    if say is not None and notes:
        say(f"'{path}' {', and '.join(notes)}")
    return classes


def _read_json(path: Location) -> tuple[Classes, list[str]]:
    try:
        plain, notes = parse_json(_text(path)), list[str]()
        if isinstance(plain, list):
            plain, notes = entries_by_id(plain)
        classes = Classes.from_list(plain)
    except ValueError as error:  # an InputError is a ValueError too
        raise InputError(f"'{path}' cannot be read: {error}") from error
    return checked_names(path, classes), notes


def _read_text(path: Location) -> tuple[Classes, list[str]]:
    text = _text(path)
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MOST_CHARACTERS:  # what is looked for in it takes time by its square
            raise InputError(
                f"'{path}' has {len(line)} characters in line {number}: {MOST_CHARACTERS} are the "
                "most"
            )
    try:
        names, notes = names_of_lines(text)
    except InputError as error:
        raise InputError(f"'{path}' {error}") from error
    return checked_names(path, named_classes(names)), notes


def _text(path: Location) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 text: save it as UTF-8") from error
    except ValueError as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error


def checked_names(path: Location, classes: Classes) -> Classes:
    """Return the classes of a file; refuse names that a report could not tell apart."""
    if len(classes) > MOST_CLASSES:
        raise InputError(f"'{path}' names {len(classes)} classes: {MOST_CLASSES} are the most")
    where = {name: k for k, name in reversed(list(enumerate(classes.names)))}
    for k, name in enumerate(classes.names):
        if not name:
            raise InputError(f"'{path}' gives class {k} no name: every class needs one")
        if len(name) > MOST_CHARACTERS:
            raise InputError(
                f"'{path}' has {len(name)} characters in the name of class {k}, "
                f"{MOST_CHARACTERS} are the most"
            )
        first = where[name]
        if first != k:
            raise InputError(
                f"'{path}' names both class {first} and class {k} '{name}': names must differ"
            )
    return classes


def _entry(k: int, item: object) -> tuple[str, Colour]:
    if isinstance(item, str):
        return item.strip(), default_colour(k)
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise InputError(
            f'entry {k} is {item!r}: expected a name or {{"name": …, "colour": [r, g, b]}}'
        )
    colour = item.get("colour", item.get("color"))
    return item["name"].strip(), default_colour(k) if colour is None else colour_of(k, colour)


def colour_of(k: int, value: object) -> Colour:
    """Return the colour that entry k of a file gives, as ``[r, g, b]`` or ``"#rrggbb"``.

    Raises
    ------
    InputError
        If it is none.
    """
    if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
        try:
            number = int(value[1:], 16)
        except ValueError:
            number = -1
        if number >= 0:
            return number >> 16, number >> 8 & 255, number & 255
    if isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value):
        return value[0], value[1], value[2]
    raise InputError(f"entry {k} has the colour {value!r}: expected [r, g, b] or '#rrggbb'")
