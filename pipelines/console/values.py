"""Values on the command line: types that check what is given, and say what it is not."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = [
    "BYTES",
    "NAMES",
    "NUMBERS",
    "RESOURCES",
    "SEED",
    "SHARD",
    "SIZE",
    "SIZES",
    "TIME",
    "Finite",
    "Parsed",
    "existing_file",
    "existing_folder",
    "existing_path",
    "folder",
    "parse_sizes",
]

existing_folder = click.Path(exists=True, file_okay=False, path_type=Path)
existing_path = click.Path(exists=True, path_type=Path)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
folder = click.Path(file_okay=False, path_type=Path)


class Parsed(click.ParamType[Any]):
    """Text that a function turns into a value; its ``ValueError`` says what the text is not."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value."""
        if not isinstance(value, str):  # a default
            return value
        try:
            return self._parse(value.strip())
        except ValueError as error:
            self.fail(f"'{value}' {error}", param, ctx)


def _matched(pattern: str, text: str, otherwise: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text)
    if match is None:
        raise ValueError(otherwise)
    return match


def _numbers(text: str) -> tuple[int, ...]:
    _matched(r"\d+(\s*,\s*\d+)*", text, "is not a list of whole numbers such as 50,150,250")
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise ValueError("is not a list of names separated by commas")
    return names


def _size(text: str) -> tuple[int, int]:
    wrong = "is not a size: give a side such as 256, or HxW"
    match = _matched(r"(\d+)(?:[x×](\d+))?", text, wrong)
    height, width = int(match[1]), int(match[2] or match[1])
    if not height or not width:
        raise ValueError(wrong)
    return height, width


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Return the sizes (height, width) of a text such as ``256,192x256``.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    return tuple(_size(part.strip()) for part in text.split(","))


def _shard(text: str) -> tuple[int, int]:
    wrong = "is not a shard: give i/n with i from 0 to n-1"
    match = _matched(r"(\d+)/(\d+)", text, wrong)
    if int(match[1]) >= int(match[2]):
        raise ValueError(wrong)
    return int(match[1]), int(match[2])


def _resources(text: str) -> dict[str, float]:
    what = "is not a list of names and numbers such as GPU=1"
    pairs = (_matched(r"([^=,\s]+)=(\d+(\.\d+)?)", part.strip(), what) for part in text.split(","))
    return {pair[1]: float(pair[2]) for pair in pairs} if text else {}


def _bytes(text: str) -> int:
    from dask.utils import parse_bytes  # here, for it is slow to import

    _matched(
        r"\d+(\.\d+)?\s*([kmgt]i?b?)",
        text.lower(),
        "is not a size: give a number and a unit, such as 500MB or 4GB",
    )
    return int(parse_bytes(text))


def _seconds(text: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.lower())
    units = [unit for _, unit in parts]
    whole = "".join(number + unit for number, unit in parts) == text.lower() != ""
    if not whole or units != sorted(set(units), key="dhms".index):
        raise ValueError("is not a time: give units, as in 90s, 30m or 1h30m")
    seconds = sum(float(n) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[u] for n, u in parts)
    if not seconds > 0:
        raise ValueError("is zero: give a time such as 30m")
    return seconds


class Finite(click.FloatRange):
    """A number in a range; not NaN, which no range keeps out."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a number", param, ctx)
        return number


NUMBERS = Parsed("N,N,…", _numbers)  # 50,150,250
NAMES = Parsed("NAME,…", _names)  # 50:6,150:8,pixels
SIZE = Parsed("S|HxW", _size)  # one of them
SIZES = Parsed("S|HxW,…", parse_sizes)  # 256, or height and width: 192x256; several: 256,512
SHARD = Parsed("i/n", _shard)  # one part of several: 0/4 to 3/4
RESOURCES = Parsed("NAME=NUMBER", _resources)  # GPU=1
BYTES = Parsed("SIZE", _bytes)  # 500MB
TIME = Parsed("TIME", _seconds)  # in seconds: 90s, 30m, 1h30m
SEED = click.IntRange(0, 2**63 - 1)  # what PyTorch and NumPy both take
