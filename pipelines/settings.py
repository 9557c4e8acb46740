"""Settings from ``dseg.toml`` in the working folder: defaults under the command line.

One table a command, with the names of its options: ``[extract]`` / ``checkpoint = "lsun.pt"``.
"""

import tomllib
from pathlib import Path
from typing import Any

import click

from .options import NUMBERS

__all__ = ["FILE", "read_settings"]

FILE = "dseg.toml"


def read_settings(path: Path, group: click.Group) -> dict[str, dict[str, Any]]:
    """Return the settings as click's ``default_map``: by command, then parameter.

    Raises
    ------
    click.UsageError
        If the file is no TOML, or names a command or option that there is not.
    """
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.UsageError(f"'{path}' cannot be read: {error}") from error
    return {command: _table(path, command, values, group) for command, values in tables.items()}


def _table(path: Path, command: str, values: Any, group: click.Group) -> dict[str, Any]:
    if command not in group.commands or not isinstance(values, dict):
        known = ", ".join(f"[{name}]" for name in sorted(group.commands))
        raise click.UsageError(f"'{path}' has '{command}', which is no command: use {known}")
    options = {
        option.removeprefix("--"): parameter
        for parameter in group.commands[command].params
        for option in parameter.opts
        if option.startswith("--")
    }
    unknown = [key for key in values if key not in options]
    if unknown:
        raise click.UsageError(
            f"'{path}' sets '{unknown[0]}' in [{command}], which `dseg {command}` does not take: "
            f"use {', '.join(sorted(options))}"
        )
    words = {
        str(options[key].name): _word(path, f"{key} in [{command}]", value, options[key])
        for key, value in values.items()
    }
    return {name: word for name, word in words.items() if word is not None}


def _word(path: Path, key: str, value: Any, option: click.Parameter) -> Any:
    """Return a value as the command line would give it: a word, or true and false of a flag.

    A flag that stands for a value of another option, as ``--tile`` does, gives that value or None.
    """
    if isinstance(option, click.Option) and option.is_flag:
        fits, expected = isinstance(value, bool), "true or false"
        if fits and not option.is_bool_flag:
            return option.flag_value if value else None
    elif option.type is NUMBERS and isinstance(value, list):
        return ",".join(map(str, value))
    elif option.multiple:
        several = value if isinstance(value, list) else [value]
        fits, expected = all(isinstance(one, str) for one in several), "a text or a list of texts"
        if fits:
            return several
    else:
        fits = isinstance(value, str | int | float) and not isinstance(value, bool)
        expected = "a text or a number"
    if not fits:
        raise click.UsageError(f"'{path}' sets {key} to {value!r}: expected {expected}")
    return value if isinstance(value, bool) else str(value)
