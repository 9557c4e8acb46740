"""What a checkpoint recommends in its ``dseg.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...store.errors import InputError
from ...store.texts import read_text
from .sizes import two_sides

__all__ = ["CARD", "Card", "read_json"]

CARD = "dseg.json"


@dataclass(frozen=True)
class Card:
    """What a checkpoint recommends in its ``dseg.json``.

    Parameters
    ----------
    steps, blocks : tuple of int, optional
    size : (height, width), optional
        Of the input, pixels; in the file a side, or both.
    filters, pixels : bool
        Whether classical filters, and colour and position, belong to the features.
    """

    steps: tuple[int, ...] | None = None
    blocks: tuple[int, ...] | None = None
    size: tuple[int, int] | None = None
    filters: bool = False
    pixels: bool = False

    @classmethod
    def read(cls, path: Path) -> "Card":
        """Read a card; without a file, an empty one.

        Raises
        ------
        InputError
            If the file is not JSON, or a value is no list of whole numbers.
        """
        if not path.is_file():
            return cls()
        plain = read_json(path)
        steps, blocks = (_whole_numbers(plain, key, path) for key in ("steps", "blocks"))
        extras = (plain.get(name) is True for name in ("filters", "pixels"))
        return cls(steps, blocks, _size(plain, path), *extras)


def _whole_numbers(plain: Mapping[str, Any], key: str, path: Path) -> tuple[int, ...] | None:
    value = plain.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not value or any(type(item) is not int for item in value):
        raise InputError(f"'{path}': {key!r} must be a list of whole numbers, got {value!r}")
    return tuple(value)


def _size(plain: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    value = plain.get("size")
    size = two_sides(value)
    if size is None and value is not None:
        raise InputError(
            f"'{path}': 'size' must be a side or [height, width] in pixels, got {value!r}"
        )
    return size


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        plain = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is not readable JSON: {error}") from error
    if not isinstance(plain, dict):
        raise InputError(f"'{path}' must hold a JSON object, got {type(plain).__name__}")
    return plain
