"""What a killed run needs to go on, on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from ..store.errors import DsegError
from ..store.folders import replace_folder

__all__ = ["has_state", "read_state", "read_values", "write_state"]

_TENSORS, _VALUES = "state.safetensors", "state.json"


def has_state(folder: Path) -> bool:
    """Say whether there is a state."""
    return (folder / _VALUES).is_file()


def write_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write a state in place of the one before, whole or not at all."""
    made = folder.with_name(f".{folder.name}.new")
    made.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), made / _TENSORS)
    (made / _VALUES).write_text(json.dumps(values, indent=1), encoding="utf-8")
    replace_folder(made, folder)


def read_values(folder: Path) -> dict[str, Any]:
    """Return the plain values of a state.

    Raises
    ------
    DsegError
        If they cannot be read.
    """
    try:
        values = json.loads((folder / _VALUES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    return dict(values)


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and values of a state.

    Raises
    ------
    DsegError
        If they cannot be read.
    """
    try:
        return load_file(folder / _TENSORS), read_values(folder)
    except DsegError:
        raise
    except Exception as error:  # safetensors raises its own
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> DsegError:
    return DsegError(
        f"the state in '{folder}' cannot be read, so the run cannot go on: {error}. "
        "Begin anew with --overwrite"
    )
