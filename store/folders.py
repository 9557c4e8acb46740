"""Folders under their final names: whole, whenever a run is killed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["is_free", "replace_folder", "whole_folder"]


def is_free(path: Path) -> bool:
    """Say whether nothing is there, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill, which then takes the place of ``target``; none is left by an error.

    Parameters
    ----------
    target : Path
        Its parent is made where it lacks.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        made.chmod(0o755)  # mkdtemp's is for the owner alone
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
    aside = made.with_name(f"{made.name}-replaced")
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
