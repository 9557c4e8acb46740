"""What a killed run needs to go on, on disk."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...store.atomic_folder import replace_folder
from ...store.errors import DsegError
from ...store.texts import read_json

__all__ = ["HALF_MADE", "STATE", "has_state", "read_state", "read_values", "write_state"]

STATE = "training"
"""The folder of a state within that of its run."""

HALF_MADE = (f".{STATE}.new", f".{STATE}.new-replaced")
"""What a killed save leaves beside it."""

_TENSORS, _VALUES = "state.safetensors", "state.json"


def has_state(folder: Path) -> bool:
    """Say whether there is a state; finish the replacement of one that a kill cut short."""
    made, aside = _beside(folder)
    if not folder.exists() and aside.exists():  # killed between two renames of `replace_folder`
        with suppress(FileNotFoundError):  # another process was quicker
            (made if made.exists() else aside).rename(folder)
    return (folder / _VALUES).is_file()


def write_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a state in place of the one before, whole or not at all.

    Raises
    ------
    DsegError
        If there is no room, or it may not be written; the one before is kept.
    """
    made, _ = _beside(folder)
    try:
        made.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), made / _TENSORS)
        (made / _VALUES).write_text(json.dumps(values, indent=1), encoding="utf-8")
        for name in (_TENSORS, _VALUES):
            _to_disk(made / name)
        replace_folder(made, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(made, ignore_errors=True)
        raise DsegError(
            f"the state of the run cannot be written to '{folder}': {error}. The last saved "
            "state is kept; repeat the command to continue from it"
        ) from error


def read_values(folder: Path) -> dict[str, Any]:
    """Return the plain values of a state.

    Raises
    ------
    DsegError
        If they cannot be read.
    """
    try:
        values = read_json(folder / _VALUES)
        return {**values, "step": int(values["step"]), "seconds": float(values["seconds"])}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(folder, error) from error


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and values of a state.

    Raises
    ------
    DsegError
        If they cannot be read.
    """
    values = read_values(folder)
    try:
        return load_file(folder / _TENSORS), values
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def _beside(folder: Path) -> tuple[Path, Path]:
    """Return where a state is made, and where the one before goes while it is replaced."""
    made = folder.with_name(f".{folder.name}.new")
    return made, made.with_name(f"{made.name}-replaced")


def _to_disk(path: Path) -> None:
    """Have a file's bytes written out before its name is changed: power may fail too."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _damaged(folder: Path, error: Exception) -> DsegError:
    what = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
    return DsegError(
        f"the state in '{folder}' cannot be read, so the run cannot be continued: {what}. "
        "Start again with --overwrite"
    )
