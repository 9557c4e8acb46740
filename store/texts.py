"""Text files that people write: lists, class names, settings, JSON; none is read past a bound."""

import codecs
import json
from typing import Any, Protocol

__all__ = [
    "MOST_BYTES",
    "MOST_DEPTH",
    "Readable",
    "object_in",
    "parse_json",
    "read_json",
    "read_text",
]

MOST_BYTES = 32 * 2**20
"""Of a text file: a list of a million paths has 30 to 100 MB in memory, JSON of this length 1 GB
at most (empty lists, which take 24 times the memory of their text)."""

MOST_DEPTH = 100
"""Lists and objects within each other in JSON. Whatever is done with deeper ones, such as copying
or printing, may end in a RecursionError; what dseg and its libraries write has 10 at most."""

_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Readable(Protocol):
    """A path, or what is given by URL."""

    def open(self, mode: str, /) -> Any:
        """Return the file, opened for reading."""


def read_text(path: Readable, most: int = MOST_BYTES) -> str:
    """Return the text of a file: UTF-8, with or without a byte-order mark, or UTF-16 with one.

    Windows' editors and shells write marks, PowerShell's ``>`` writes UTF-16.

    Parameters
    ----------
    path : path
    most : int
        Bytes that it may have.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it has more; a UnicodeDecodeError if it is neither.
    """
    with path.open("rb") as file:
        data: bytes = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most // 2**20} MiB, the most that dseg reads")
    return data.decode("utf-16" if data.startswith(_WIDE) else "utf-8-sig")


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If it is no JSON, or nested deeper than `MOST_DEPTH`.

    Examples
    --------
    >>> parse_json('{"blocks": [5, 6]}')
    {'blocks': [5, 6]}
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    within = [value]
    for _ in range(MOST_DEPTH + 1):
        lists = [one for one in within if isinstance(one, list)]
        lists += [list(one.values()) for one in within if isinstance(one, dict)]
        within = [item for one in lists for item in one]
        if not within:
            return value
    raise ValueError(_TOO_DEEP)


def read_json(path: Readable) -> Any:
    """Return the value of a JSON file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no JSON, or beyond the bounds of `read_text` and `parse_json`.
    """
    return parse_json(read_text(path))


def object_in(path: Readable) -> dict[str, Any] | None:
    """Return the object of a JSON file; None if it holds none, or cannot be read."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


_TOO_DEEP = f"it is nested deeper than {MOST_DEPTH} lists and objects"
