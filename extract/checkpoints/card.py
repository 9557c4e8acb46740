"""What a checkpoint recommends in its ``dseg.json``."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...store import texts
from ...store.errors import InputError
from ..images.reading_spec import ReadingSpec
from .sizes import MOST_SIDE, two_sides

__all__ = ["CARD", "Card", "read_json"]

CARD = "dseg.json"

MOST_LISTED = 100
"""Timesteps or blocks that a card may recommend: all timesteps of an image are one batch."""


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
    reading : ReadingSpec, optional
        How the images were read that it was trained on; in the file as in a feature spec.
    """

    steps: tuple[int, ...] | None = None
    blocks: tuple[int, ...] | None = None
    size: tuple[int, int] | None = None
    filters: bool = False
    pixels: bool = False
    reading: ReadingSpec | None = None

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
        filters, pixels = (plain.get(name) is True for name in ("filters", "pixels"))
        return cls(steps, blocks, _size(plain, path), filters, pixels, _reading(plain, path))


def _reading(plain: Mapping[str, Any], path: Path) -> ReadingSpec | None:
    value = plain.get("reading")
    if value is None:
        return None
    try:
        if not isinstance(value, dict):
            raise InputError(f"got {_shown(value)}")
        return ReadingSpec.of(value)
    except InputError as error:
        raise InputError(
            f"'{path}': 'reading' must say how images are read, as a feature spec does: {error}"
        ) from error


def _whole_numbers(plain: Mapping[str, Any], key: str, path: Path) -> tuple[int, ...] | None:
    value = plain.get(key)
    if value is None:
        return None
    listed = isinstance(value, list) and 0 < len(value) <= MOST_LISTED
    if not listed or any(type(item) is not int for item in value):
        raise InputError(
            f"'{path}': {key!r} must be a list of whole numbers, got {_shown(value)}; "
            f"{MOST_LISTED} is the most"
        )
    return tuple(value)


def _shown(value: Any) -> str:
    return textwrap.shorten(repr(value), 100)


def _size(plain: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    value = plain.get("size")
    size = two_sides(value)
    if size is None and value is not None:
        raise InputError(
            f"'{path}': 'size' must be a side or [height, width] in pixels, got "
            f"{_shown(value)}; {MOST_SIDE} is the most"
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
        plain = texts.read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is not readable JSON: {error}") from error
    if not isinstance(plain, dict):
        raise InputError(f"'{path}' must hold a JSON object, got {type(plain).__name__}")
    return plain
