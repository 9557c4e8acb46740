"""The checkpoints that come with dseg: ``builtin:<name>``."""

from pathlib import Path

from ...store.errors import InputError

__all__ = ["BUILTIN", "builtin_folder", "is_builtin"]

_PREFIX = "builtin:"
_FOLDER = Path(__file__).parents[1] / "builtin_checkpoints"

BUILTIN = f"{_PREFIX}dseg-64"
"""The one that is used where none is named."""


def is_builtin(checkpoint: str) -> bool:
    """Say whether a text names a checkpoint that comes with dseg.

    Examples
    --------
    >>> is_builtin("builtin:dseg-64"), is_builtin("google/ddpm-cat-256")
    (True, False)
    """
    return checkpoint.startswith(_PREFIX)


def builtin_folder(checkpoint: str) -> Path:
    """Return the folder of a checkpoint that comes with dseg.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    names = sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir())
    name = checkpoint.removeprefix(_PREFIX)
    if name not in names:
        have = ", ".join(f"'{_PREFIX}{known}'" for known in names)
        raise InputError(
            f"no checkpoint '{checkpoint}' comes with this version of dseg: use {have}"
        )
    return _FOLDER / name
