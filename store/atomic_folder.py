"""Files and folders under their final names: whole, whenever a run is killed.

What is not whole yet has a hidden name of its own form, by which what a killed run left is known.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from .claims import is_lock, short_name

__all__ = [
    "finish_replacement",
    "is_free",
    "part_of",
    "remove_parts",
    "replace_folder",
    "tidy_beside",
    "whole_folder",
]

_PART = re.compile(r"\.[0-9a-f]{32}\.part")


def is_free(path: Path) -> bool:
    """Say whether nothing is there, or an empty folder, but for locks."""
    if not path.exists():
        return True
    return path.is_dir() and all(is_lock(inside.name) for inside in path.iterdir())


def part_of(path: Path) -> Path:
    """Return a new temporary name for a file, beside it; short, for the file's may be long."""
    return path.with_name(f".{uuid4().hex}.part")


def remove_parts(folder: Path) -> None:
    """Remove files under temporary names from a folder and its sub-folders.

    Only for who alone writes there; sub-folders that other runs have claimed are left alone.

    Parameters
    ----------
    folder : path
        It need not be there.
    """
    for parent, folders, files in os.walk(folder):
        if parent != str(folder) and any(map(is_lock, files)):
            folders.clear()
            continue
        for name in filter(_PART.fullmatch, files):
            with suppress(OSError):
                Path(parent, name).unlink()


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill, which then takes the place of ``target``; none is left by an error.

    Parameters
    ----------
    target : Path
        Its parent is made where it lacks.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.parent / f".{short_name(target.name)}.{uuid4().hex[:16]}.part"
    made.mkdir()
    try:
        yield made
        replace_folder(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def replace_folder(made: Path, target: Path) -> None:
    """Give a folder its final name, in place of what has that name.

    What is there is renamed first, back if that fails, and only then removed: removed under its
    own name it would be half there for a while.

    Parameters
    ----------
    made, target : Path
        In one folder.
    """
    aside = _aside(made)
    shutil.rmtree(aside, ignore_errors=True)  # of a killed run
    if target.exists():
        target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def finish_replacement(made: Path, target: Path) -> None:
    """Make an end of a `replace_folder` that a kill cut short; nothing is done if there is none.

    Only for who alone writes there.
    """
    aside = _aside(made)
    if not aside.exists():
        return
    if not target.exists():  # killed between the two renames, so what was made is whole
        (made if made.exists() else aside).rename(target)
    shutil.rmtree(aside, ignore_errors=True)


def tidy_beside(target: Path) -> None:
    """Make an end of what killed runs of `whole_folder` left beside a folder.

    Only for who alone writes there.
    """
    name = re.escape(short_name(target.name))
    form = re.compile(rf"\.{name}\.[0-9a-f]{{16}}\.part(-replaced)?")
    left = [path for path in target.parent.iterdir() if form.fullmatch(path.name)]
    for path in left:
        finish_replacement(path.with_name(path.name.removesuffix("-replaced")), target)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)


def _aside(made: Path) -> Path:
    return made.with_name(f"{made.name}-replaced")
