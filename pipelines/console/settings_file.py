"""Settings from ``dseg.toml`` in the working folder: defaults under the command line.

One table a command, with the names of its options: ``[extract]`` / ``checkpoint = "lsun.pt"``.
What is wrong in a table stops its own command; others warn of it.
"""

import textwrap
import tomllib
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ...store.texts import read_text
from .values import NUMBERS

__all__ = ["FILE", "read_settings"]

FILE = "dseg.toml"

MOST_DOTS = 100
"""In a line. Parsing a dotted name, `a.a.a`, takes time by the square of its length: 7 seconds of
10,000 dots, 3 minutes and 6 GB of 50,000."""


def read_settings(
    path: Path, group: click.Group, command: str, warn: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Return the settings of a command as click's ``default_map``: by command, then parameter.

    Parameters
    ----------
    path : path
    group : click.Group
        The commands there are.
    command : str
        The one that is to run.
    warn : callable
        Is told what is wrong with the settings of others.

    Raises
    ------
    click.UsageError
        If the file is no TOML, or names an option that the command has not; or has a table that
        looks like the command's, misspelt.
    """
    if not path.is_file():
        return {}
    try:
        text = read_text(path)
        if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
            raise ValueError(f"a line has more than {MOST_DOTS} dots")
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"'{path}' cannot be read: {error}") from error
    found = {}
    for name, values in tables.items():
        try:
            found[name] = _table(path, name, values, group)
        except click.UsageError as error:
            if command in (name, *_near(name, group.commands)):
                raise
            warn(f"{error.message} (`dseg {command}` continues without it)")
    return found


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Return the known name that another looks like, if there is one."""
    return get_close_matches(name.replace("_", "-").lower(), list(known), 1)


def _meant(name: str, known: Iterable[str]) -> str:
    """Return what may have been meant, as the end of a message."""
    near = _near(name, known)
    return f"; did you mean '{near[0]}'?" if near else f": use {', '.join(sorted(known))}"


def _table(path: Path, command: str, values: Any, group: click.Group) -> dict[str, Any]:
    if command not in group.commands:
        meant = _meant(command, [f"[{name}]" for name in group.commands])
        raise click.UsageError(
            f"'{path}' has a table '{command}', but dseg has no such command{meant}"
        )
    if not isinstance(values, dict):
        raise click.UsageError(f"in '{path}', '{command}' is not a table: write [{command}]")
    options = {
        option.removeprefix("--"): parameter
        for parameter in group.commands[command].params
        for option in parameter.opts
        if option.startswith("--")
    }
    unknown = [key for key in values if key not in options]
    if unknown:
        raise click.UsageError(
            f"'{path}' sets '{unknown[0]}' in [{command}], but `dseg {command}` has no such "
            "option" + _meant(unknown[0], options)
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
        return ",".join(_text(path, key, one) for one in value)
    elif option.multiple:
        several = value if isinstance(value, list) else [value]
        fits = all(isinstance(one, str) for one in several)
        expected = "a string or a list of strings"
        if fits:
            return several
    else:
        fits = isinstance(value, str | int | float) and not isinstance(value, bool)
        expected = "a string or a number"
    if not fits:
        shown = textwrap.shorten(_text(path, key, [value])[1:-1], 200)
        raise click.UsageError(f"'{path}' sets {key} to {shown}: expected {expected}")
    return value if isinstance(value, bool) else _text(path, key, value)


def _text(path: Path, key: str, value: Any) -> str:
    try:
        return str(value)
    except (ValueError, RecursionError) as error:  # of a number of 5,000 digits, or lists in lists
        raise click.UsageError(f"'{path}' sets {key} to what cannot be shown: {error}") from error
