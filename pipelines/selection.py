"""Which images a command is about: ``--list`` files, shards, and what does not match."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ..extract.images import EXTENSIONS
from ..store.errors import InputError

__all__ = ["duration", "named", "read_list", "select", "shard_of"]

_SHOWN = 5

T = TypeVar("T")


def _listed_stem(entry: str) -> str:
    """Return an entry of a list without the extension of an image or label map, if it has one.

    Other endings are part of the name: ``cat.front`` is not ``cat``.
    """
    path = PurePosixPath(entry)
    known = path.suffix.lower() in EXTENSIONS | {".npy"}
    return str(path.with_suffix("") if known else path)


def named(names: Iterable[str]) -> str:
    """Return names for a message: the first few, then how many more.

    Examples
    --------
    >>> named(["a", "b"])
    "'a', 'b'"
    """
    every = list(names)
    shown = ", ".join(f"'{name}'" for name in every[:_SHOWN])
    return shown if len(every) <= _SHOWN else f"{shown} and {len(every) - _SHOWN} more"


def duration(seconds: float) -> str:
    """Return a time for a message.

    Examples
    --------
    >>> duration(42), duration(400), duration(9000)
    ('42 seconds', '7 minutes', '2.5 hours')
    """
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def read_list(path: Path) -> tuple[str, ...]:
    """Read stems, one a line; blank lines and lines that begin with ``#`` do not count.

    Raises
    ------
    InputError
        If the file is not text, empty, or names a stem twice.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"--list '{path}' is not a text file: give one stem a line") from error
    stems = tuple(line for line in lines if line and not line.startswith("#"))
    if not stems:
        raise InputError(f"--list '{path}' names no image: give one stem a line")
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise InputError(f"--list '{path}' names {named(twice)} more than once")
    return stems


def select(known: Sequence[str], wanted: Sequence[str] | None, what: str) -> list[str]:
    """Return the known stems that a list asks for, in the order they are known.

    An entry of the list may carry an extension; the stem without it counts too.

    Parameters
    ----------
    known : sequence of str
        Stems that there are.
    wanted : sequence of str, optional
        Stems asked for; None asks for all.
    what : str
        Where the known ones are, for the message, such as "images in 'photos'".

    Raises
    ------
    InputError
        If something is asked for that there is not.
    """
    if wanted is None:
        return list(known)
    there = set(known)
    asked = {entry if entry in there else _listed_stem(entry) for entry in wanted}
    missing = sorted(asked - there)
    if missing:
        raise InputError(f"--list names {named(missing)}, not among the {len(known)} {what}")
    return [stem for stem in known if stem in asked]


def shard_of(items: Sequence[T], shard: tuple[int, int] | None) -> list[T]:
    """Return the i-th of n interleaved parts; together the parts are all items."""
    if shard is None:
        return list(items)
    i, n = shard
    return list(items[i::n])
