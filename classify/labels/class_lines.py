"""Parse lists of class names that hold more than names.

Line k of ``classes.txt``, from 0, names class k. A header, a comment, labelme's ``__ignore__`` or
ids next to the names would shift the names to wrong classes: what is recognised is reported in a
note, everything else is refused.
"""

import re
from collections.abc import Sequence
from typing import Any

from ...store.errors import InputError

__all__ = ["entries_by_id", "names_of_lines"]

_IGNORE = "__ignore__"  # labelme: the first line, id -1
_HEADER = frozenset(
    f"{what}{part}"
    for what in ("name", "class", "label", "category", "id")
    for part in ("", "s", "_id", "_name", "_names")
) | {"classes", "categories"}
_BESIDE = _HEADER | {"index", "number", "value", "colour", "color", "rgb", "r", "g", "b"}
_ID_FIRST = re.compile(r"(-?\d+)(?:\s*[:=,;]\s*|[.)]?\s+)([^\d\s].*)")
_ID_LAST = re.compile(r"(.*?\S)\s*[:=,;\t]\s*(-?\d+)")
_NUMBER_LAST = re.compile(r".*\s(\d+)")
_RGB = r"\d{1,3}[\s,;]+\d{1,3}[\s,;]+\d{1,3}"
_COLOUR = re.compile(rf"{_RGB}[\s,;:]+\D.*|.*\D[\s,;:]+\(?{_RGB}\)?")
_ID_KEYS = ("index", "class_id", "label_id", "category_id", "train_id", "trainId", "value")
_KEYS = frozenset({"id", "name", "colour", "color"})


def names_of_lines(text: str) -> tuple[list[str], list[str]]:
    r"""Return the names in the text of a ``classes.txt``, by class id, and notes on the rest.

    Returns
    -------
    names : list of str
        An empty line between others is an empty name.
    notes : list of str
        What the text holds besides names, in words that follow the file's name.

    Raises
    ------
    InputError
        If there is none, or it is not clear which class a line names; the words follow the file's
        name.

    Examples
    --------
    >>> names_of_lines("sky\nlane marking\n")
    (['sky', 'lane marking'], [])
    >>> names_of_lines("__ignore__\n_background_\ncat")[0]
    ['_background_', 'cat']
    >>> names_of_lines("1: tree\n0: sky")
    (['sky', 'tree'], ["contains ids and names: class 0 is 'sky'"])
    """
    notes: list[str] = []
    lines = _without_comments(text.rstrip().splitlines(), notes)
    if not lines:
        raise InputError(
            "is empty: expected one class name per line, line k naming class k (from 0)"
        )
    lines = _without_ignore(lines, notes)
    names = _numbered(lines)
    if names is not None:
        return names, [*notes, f"contains ids and names: class 0 is '{names[0]}'"]
    _refuse_header(lines)
    _refuse_one_line(lines)
    _refuse_other_order(lines)
    return lines, [*notes[:-1], f"{notes[-1]}: class 0 is '{lines[0]}'"] if notes else []


def _without_comments(lines: Sequence[str], notes: list[str]) -> list[str]:
    stripped = [line.strip() for line in lines]
    for number, line in enumerate(stripped, 1):
        if re.match(r"#[^\s#]", line):
            raise InputError(
                f"has '{line}' in line {number}: is it a comment or a class? Write a comment "
                f"as '# {line[1:]}'; if a class has that name, write the names as "
                "classes.json"
            )
    left = [line for line in stripped if not line.startswith("#")]
    if len(left) < len(stripped):
        notes.append("has comments (lines that begin with #), which are ignored")
        while left and not left[0]:  # empty lines between comments and names
            del left[0]
    return left


def _without_ignore(lines: list[str], notes: list[str]) -> list[str]:
    """Leave out labelme's line for pixels without a class."""
    if lines[0] == _IGNORE:
        notes.append(f"begins with labelme's '{_IGNORE}', which is not a class")
        lines = lines[1:]
    if not lines or _IGNORE in lines:
        raise InputError(
            f"has '{_IGNORE}' in an unexpected line: labelme writes it in the first line "
            "only. Expected it in the first line or nowhere, followed by one class per line"
        )
    return lines


def _numbered(lines: Sequence[str]) -> list[str] | None:
    """Return the names of lines that all hold an id, by it; None if they do not."""
    rest = lines[1:] if len(lines) > 1 and _words(lines[0]) <= _BESIDE else lines
    if all(map(_COLOUR.fullmatch, rest)):
        raise InputError(
            f"holds names and colours, such as '{rest[0]}': write them as classes.json, a list of "
            '{"name": …, "colour": [r, g, b]}'
        )
    first, last = (list(map(kind.fullmatch, rest)) for kind in (_ID_FIRST, _ID_LAST))
    if all(first):
        pairs = [(int(match[1]), match[2]) for match in first if match]
    elif all(last):
        pairs = [(int(match[2]), match[1]) for match in last if match]
    else:
        return None
    _check_ids([number for number, _ in pairs])
    return [name for _, name in sorted(pairs)]


def _words(line: str) -> set[str]:
    return set(re.split(r"[\s,;:]+", line.lower().strip("\"' :,;")))


def _check_ids(ids: Sequence[int]) -> None:
    n = len(ids)
    if sorted(ids) != list(range(n)):
        shown = ", ".join(map(str, ids[:5])) + (", …" if n > 5 else "")
        raise InputError(
            f"gives {n} classes the ids {shown}: expected each id from 0 to {n - 1} once, as "
            "in the pixels of the label maps. Add a name for each missing id, and remove "
            "what is not a class, such as 'unlabelled'. If the numbers are part of the "
            "names, write the names as classes.json"
        )


def _refuse_header(lines: Sequence[str]) -> None:
    """Refuse a first line that hardly names a class."""
    if len(lines) > 1 and (_words(lines[0]) <= _HEADER or lines[0].endswith(":")):
        raise InputError(
            f"begins with '{lines[0]}': is it a header or class 0? If it is a header, remove "
            "the line; if a class has that name, write the names as classes.json"
        )


def _refuse_one_line(lines: Sequence[str]) -> None:
    """Refuse all names in one line."""
    if len(lines) == 1 and re.search(r"\S\s*[,;\t]\s*\S", lines[0]):
        raise InputError(f"has a single line, '{lines[0]}': expected one class name per line")


def _refuse_other_order(lines: Sequence[str]) -> None:
    """Refuse numbers that are no ids by their lines: alone, or in another order behind names."""
    if all(line.isdecimal() for line in lines) and lines != [str(k) for k in range(len(lines))]:
        raise InputError(
            f"contains only numbers, such as '{lines[0]}' in the line of class 0: expected "
            "names, or ids and names ('id: name')"
        )
    ends = [int(match[1]) for line in lines if (match := _NUMBER_LAST.fullmatch(line))]
    if ends != list(range(len(lines))) and sorted(ends) == list(range(len(lines))):
        raise InputError(
            f"has '{lines[0]}' in its first line, which names class 0: are the numbers ids? "
            "Write them as 'id: name', or sort the lines by id"
        )


def entries_by_id(plain: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Return the entries of a ``classes.json`` by class id, and notes on them.

    Each may have an ``"id"``, which then says which class it is; else its position does.

    Raises
    ------
    InputError
        If ids lack or contradict; the words are about the list.

    Examples
    --------
    >>> entries_by_id([{"id": 1, "name": "tree"}, {"id": 0, "name": "sky"}])[0]
    [{'id': 0, 'name': 'sky'}, {'id': 1, 'name': 'tree'}]
    """
    entries, notes = list(plain), list[str]()
    mappings = [entry for entry in entries if isinstance(entry, dict)]
    ids = [entry["id"] for entry in mappings if "id" in entry]
    if ids and (len(ids) < len(entries) or not all(type(one) is int for one in ids)):
        raise InputError(
            f'{len(ids)} of {len(entries)} entries have an "id", such as {ids[0]!r}: expected a '
            "whole number in each, or in none"
        )
    if ids:
        _check_ids(ids)
        entries = sorted(entries, key=lambda entry: int(entry["id"]))
        if entries != list(plain):
            notes.append(f"is ordered by its ids: class 0 is {entries[0].get('name')!r}")
    for position, entry in enumerate(entries):
        _check_keys(position, entry)
    others = sorted({str(key) for entry in mappings for key in entry} - _KEYS - set(_ID_KEYS))
    if others:
        notes.append(f"has {', '.join(others)}, which are ignored")
    return entries, notes


def _check_keys(position: int, entry: Any) -> None:
    """Refuse an entry that says two things at once."""
    if not isinstance(entry, dict):
        return
    both = [entry[key] for key in ("colour", "color") if key in entry]
    if len(both) == 2 and both[0] != both[1]:
        raise InputError(
            f'entry {position} has "colour" {both[0]!r} and "color" {both[1]!r}: keep one'
        )
    for key in _ID_KEYS:
        if "id" not in entry and key in entry and entry[key] != position:
            raise InputError(
                f'entry {position} has "{key}": {entry[key]!r}, but its position means class '
                f'{position}: expected "id", which says which class it is, or entries in the '
                "classes' order"
            )
