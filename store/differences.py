"""How the settings of something that is there differ from those asked for, in words."""

from collections.abc import Mapping
from typing import Any

__all__ = ["differences"]


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], words: Mapping[str, str] | None = None
) -> list[str]:
    """Name the settings that differ, those within a group one by one.

    One that is missing on one side, as in files of older versions, is taken to be the same.

    Parameters
    ----------
    there, here : mapping
        Plain JSON values.
    words : mapping, optional
        What to call a setting in place of its name and its two values.

    Examples
    --------
    >>> differences({"seed": 0, "images": "a3"}, {"seed": 1, "images": "b7"}, {"images": "images"})
    ['images', 'seed (0 there, 1 here)']
    """
    found, words = [], words or {}
    for key in there.keys() & here.keys():
        before, value = there[key], here[key]
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            found += differences(before, value, words)
        elif before != value:
            name = f"{key.replace('_', ' ')} ({before} there, {value} here)"
            found.append(words.get(key, name))
    return sorted(found)
