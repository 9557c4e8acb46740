"""What command lines are made of: types that check, options that several commands share."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "BYTES",
    "NAMES",
    "NUMBERS",
    "SEED",
    "SHARD",
    "SIZE",
    "TIME",
    "Finite",
    "device_option",
    "dry_run_option",
    "existing_file",
    "existing_folder",
    "existing_path",
    "folder",
    "list_option",
    "ignore_option",
    "layers_option",
    "output_options",
    "overwrite_option",
    "training_options",
    "white_option",
]

F = TypeVar("F", bound=Callable[..., Any])

existing_folder = click.Path(exists=True, file_okay=False, path_type=Path)
existing_path = click.Path(exists=True, path_type=Path)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
folder = click.Path(file_okay=False, path_type=Path)


class _Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them: ``50,150,250``."""

    name = "N,N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", str(value)):
            self.fail(f"'{value}' is not a list of whole numbers such as 50,150,250", param, ctx)
        return tuple(int(part) for part in str(value).split(","))


class _Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between them: ``50:6,150:8,pixels``."""

    name = "NAME,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in str(value).split(","))
        if not all(names):
            self.fail(f"'{value}' is not a list of names separated by commas", param, ctx)
        return names


class _Size(click.ParamType[tuple[int, int]]):
    """A side, or height and width: ``256`` or ``192x256``."""

    name = "S|HxW"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value[0], value[1]
        match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", str(value).strip())
        if not match or int(match[1]) == 0 or match[2] in ("0", "00"):
            self.fail(f"'{value}' is not a size: give a side such as 256, or HxW", param, ctx)
        return int(match[1]), int(match[2] or match[1])


class _Shard(click.ParamType[tuple[int, int]]):
    """One part of several: ``0/4`` to ``3/4``."""

    name = "i/n"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value[0], value[1]
        match = re.fullmatch(r"(\d+)/(\d+)", str(value).strip())
        if not match or int(match[1]) >= int(match[2]):
            self.fail(f"'{value}' is not a shard: give i/n with i from 0 to n-1", param, ctx)
        return int(match[1]), int(match[2])


class _Bytes(click.ParamType[int]):
    """An amount of memory: ``500MB``."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        from ...store.errors import InputError
        from .sizes import parse_bytes

        try:
            return value if isinstance(value, int) else parse_bytes(str(value))
        except InputError as error:
            self.fail(str(error), param, ctx)


class _Time(click.ParamType[float]):
    """A length of time, in seconds: ``90s``, ``30m``, ``1h30m``."""

    name = "TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip().lower()
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
        units = [unit for _, unit in parts]
        whole = "".join(number + unit for number, unit in parts) == text != ""
        if not whole or units != sorted(set(units), key="dhms".index):
            self.fail(f"'{value}' is not a time: give units, as in 90s, 30m or 1h30m", param, ctx)
        seconds = sum(float(n) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[u] for n, u in parts)
        if not seconds > 0:
            self.fail(f"'{value}' is zero: give a time such as 30m", param, ctx)
        return seconds


class Finite(click.FloatRange):
    """A number in a range; not NaN, which no range keeps out."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a number", param, ctx)
        return number


NAMES, NUMBERS, SIZE = _Names(), _Numbers(), _Size()
SHARD, BYTES, TIME = _Shard(), _Bytes(), _Time()
SEED = click.IntRange(0, 2**63 - 1)  # what PyTorch and NumPy both take


def list_option(command: F) -> F:
    """Add ``--list``."""
    return click.option(
        "--list",
        "list_file",
        type=existing_file,
        help="Use only these images: a text file with one stem (file name without extension) or "
        "path per line.",
    )(command)


def device_option(command: F) -> F:
    """Add ``--device``."""
    return click.option(
        "--device", help="cpu, cuda, cuda:1, mps, …; default: a GPU if there is one."
    )(command)


def overwrite_option(command: F) -> F:
    """Add ``--overwrite``."""
    return click.option("--overwrite", is_flag=True, help="Replace existing output.")(command)


def dry_run_option(command: F) -> F:
    """Add ``--dry-run``."""
    return click.option(
        "--dry-run",
        is_flag=True,
        help="Only report what the run would do, and the disk space, memory and time it would "
        "take.",
    )(command)


def white_option(command: F) -> F:
    """Add ``--white``."""
    return click.option(
        "--white",
        type=click.IntRange(1, 65535),
        help="Value of white in images of 16 bits per channel, such as 4095 for 12-bit data; "
        "default: found from all images, or the value stored with the features.",
    )(command)


def layers_option(command: F) -> F:
    """Add ``--layers``."""
    return click.option(
        "--layers",
        type=NAMES,
        help="Use only these layers of the store, such as 50:6,150:8,pixels: step:block, as `dseg "
        "info` lists them; 2/50:6 is a layer of the second store.",
    )(command)


def ignore_option(command: F) -> F:
    """Add ``--ignore``."""
    return click.option(
        "--ignore", type=int, default=255, show_default=True, help="Id of unlabelled pixels."
    )(command)


def training_options(command: F) -> F:
    """Add what says how an ensemble is trained, see `TrainingOptions`."""
    for option in reversed(_TRAINING):
        command = option(command)
    return command


_TRAINING = (
    click.option(
        "--recipe",
        type=click.Choice(["default", "paper"]),
        default="default",
        show_default=True,
        help="paper: exactly as published; can take hours.",
    ),
    click.option(
        "--members",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        help="Number of networks that vote (members of the ensemble).",
    ),
    click.option(
        "--voting",
        type=click.Choice(["majority", "mean"]),
        default="majority",
        show_default=True,
        help="How the members' predictions are combined.",
    ),
    click.option(
        "--max-steps",
        type=click.IntRange(1),
        default=2000,
        show_default=True,
        help="Training steps of the default recipe.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(2),
        default=64,
        show_default=True,
        help="Pixels per batch.",
    ),
    click.option(
        "--balance",
        type=click.FloatRange(0, 1),
        help="How much the loss favours rare classes, from 0 (every pixel counts alike) to 1 "
        "(every class counts alike); default 0.3, with --recipe paper 0.",
    ),
    click.option(
        "--reduce",
        type=click.IntRange(0),
        metavar="K",
        help="Train on K principal components of the features (default: a fifth of the channels, "
        "at least 256); 0: on all channels.",
    ),
    click.option(
        "--memory",
        type=BYTES,
        help="Memory to use at most, such as 4GB; default: half of what is free.",
    ),
    click.option(
        "--seed",
        type=SEED,
        default=0,
        show_default=True,
        help="Seed of initial weights and pixel order: the same seed gives the same model.",
    ),
)


def output_options(command: F) -> F:
    """Add ``--json``, ``-q`` and ``-v``."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Print more; on errors, the traceback."),
        click.option(
            "-q", "--quiet", is_flag=True, help="No progress and no messages except warnings."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
    ):
        command = option(command)
    return command
