"""How a run is cut into parts, and which paths its workers see."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ...store.errors import DsegError
from ...store.urls.location import Location

__all__ = ["absolute", "cut", "part_size", "refuse_unseen"]

T = TypeVar("T")
C = TypeVar("C")

_PLACES = frozenset({"checkpoint", "checkpoints", "features"})  # texts that may be paths
_MOST = 16  # images of a part: what a lost worker loses at most
_PARTS_A_WORKER = 4  # at least, so that all end at about the same time


def part_size(count: int, workers: int) -> int:
    """Return how many images a part has.

    Examples
    --------
    >>> part_size(1_000_000, 8), part_size(40, 2), part_size(3, 8)
    (16, 5, 1)
    """
    return max(1, min(_MOST, count // (_PARTS_A_WORKER * max(1, workers))))


def cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield one part after the other.

    Examples
    --------
    >>> list(cut("abcde", 2))
    ['ab', 'cd', 'e']
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]


def absolute(config: C) -> C:
    """Return a run's settings with absolute paths: workers run in folders of their own.

    Parameters
    ----------
    config : dataclass
        Its paths, and checkpoints that are files or folders, perhaps with sizes (``net.pt@256``).
    """
    values = {field.name: getattr(config, field.name) for field in fields(config)}  # type: ignore[arg-type]
    changed = {name: _absolute(value, place=name in _PLACES) for name, value in values.items()}
    return replace(config, **changed)  # type: ignore[type-var]


def _absolute(value: Any, *, place: bool) -> Any:
    if isinstance(value, Path):
        return value.absolute()
    if isinstance(value, tuple):
        return tuple(_absolute(one, place=place) for one in value)
    if place and isinstance(value, str):
        path, at, rest = (value, "", "") if Path(value).exists() else value.rpartition("@")
        if path and Path(path).exists():
            return f"{Path(path).absolute()}{at}{rest}"
    return value


def refuse_unseen(*paths: Location) -> None:
    """Refuse to work where the folders of a run are not: else each image would be said to be lost.

    Raises
    ------
    DsegError
    """
    for path in paths:
        if isinstance(path, Path) and not path.exists():
            from distributed import get_worker

            raise DsegError(
                f"the worker at {get_worker().address} does not see '{path}': the files of a run "
                "must be at the same path on each machine, such as in a shared folder"
            )
