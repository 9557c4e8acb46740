"""Atomic writes: what has its final name is complete, whenever a run is killed.

What is still being written has a hidden temporary name of a fixed pattern, by which later runs find
and remove what a killed run left.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from .claims import is_lock, short_name
from .failed_writes import writing

__all__ = [
    "finish_replacement",
    "is_free",
    "is_temporary",
    "temporary_path",
    "remove_temporary_files",
    "replace_folder",
    "recover_folder",
    "atomic_folder",
]

_PART = re.compile(r"\.[0-9a-f]{32}\.part")


def is_free(path: Path) -> bool:
    """Whether a path does not exist, or is a folder that is empty except for locks."""
    if not path.exists():
        return True
    return path.is_dir() and all(is_lock(inside.name) for inside in path.iterdir())


def temporary_path(path: Path) -> Path:
    """Return a new temporary name in a file's folder.

    It does not contain the file's own name, which may be as long as the file system allows.
    """
    return path.with_name(f".{uuid4().hex}.part")


def is_temporary(name: str) -> bool:
    """Whether a file's name is one of `temporary_path`."""
    return _PART.fullmatch(name) is not None


def remove_temporary_files(folder: Path) -> None:
    """Remove files with temporary names from a folder and its sub-folders.

    Call it only while no other run writes there; sub-folders that other runs claimed are skipped.

    Parameters
    ----------
    folder : path
        It need not exist.
    """
    for parent, folders, files in os.walk(folder):
        if parent != str(folder) and any(map(is_lock, files)):
            folders.clear()
            continue
        for name in filter(is_temporary, files):
            with suppress(OSError):
                Path(parent, name).unlink()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which then replaces ``target``; an error removes it.

    Parameters
    ----------
    target : Path
        Its parent is created if need be.

    Raises
    ------
    DsegError
        In place of an OSError: see `failed_writes.writing`.
    """
    made = target.parent / f".{short_name(target.name)}.{uuid4().hex[:16]}.part"
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            made.mkdir()
            yield made
            replace_folder(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def replace_folder(made: Path, target: Path) -> None:
    """Rename a folder to its final name, in place of what has that name.

    The old folder is renamed first (and renamed back on failure), and removed last: removed under
    its own name, it would be incomplete for a while.

    Parameters
    ----------
    made, target : Path
        In the same folder.
    """
    aside = _aside(made)
    shutil.rmtree(aside, ignore_errors=True)  # left by a killed run
    if target.exists():
        target.rename(aside)
    try:
        made.rename(target)
    except OSError as error:
        try:
            if aside.exists():
                aside.rename(target)
        except OSError:
            back = f"what was there is in '{aside}', and comes back when the command is repeated"
            raise OSError(error.errno, f"{error.strerror}; {back}") from error
        raise
    shutil.rmtree(aside, ignore_errors=True)


def finish_replacement(made: Path, target: Path) -> None:
    """Complete a `replace_folder` that was killed half-way; do nothing if there was none.

    Call it only while no other run writes there.
    """
    aside = _aside(made)
    if not aside.exists():
        return
    if not target.exists():  # killed between the two renames, so the new folder is complete
        (made if made.exists() else aside).rename(target)
    shutil.rmtree(aside, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Complete, or remove, what killed runs of `atomic_folder` left for a target.

    Call it only while no other run writes there.
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
