"""How the settings of existing results differ from those of this command, in words."""

from collections.abc import Mapping
from typing import Any

__all__ = ["differences"]


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], words: Mapping[str, str] | None = None
) -> list[str]:
    """Name the settings that differ, those within a group one by one.

    One that is missing on one side, as in files of older versions, is taken to be the same.

    Parameters
    ----------
    before, now : mapping
        Plain JSON values: the settings of the results, and those of this command.
    words : mapping, optional
        What to call a setting in place of its name and its two values.

    Examples
    --------
    >>> differences({"seed": 0, "images": "a3"}, {"seed": 1, "images": "b7"}, {"images": "images"})
    ['images', 'seed (0 before, 1 now)']
    """
    found, words = [], words or {}
    for key in before.keys() & now.keys():
        old, new = before[key], now[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, words)
        elif old != new:
            name = f"{key.replace('_', ' ')} ({old} before, {new} now)"
            found.append(words.get(key, name))
    return sorted(found)
