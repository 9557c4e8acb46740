"""Files that are whole or not there: written under a temporary name, then renamed."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .atomic_folder import temporary_path
from .failed_writes import writing

__all__ = ["write_whole"]


def write_whole(
    path: Path | str,
    content: bytes | Callable[[BinaryIO], object],
    *,
    under: Path | None = None,
) -> None:
    """Write a file; what had its name before stays until the new one is complete.

    Parameters
    ----------
    path : path
        Its folder is made if need be.
    content : bytes or callable
        The file's bytes, or what writes them to it.
    under : path, optional
        A temporary name in the same folder: the file keeps it, and the caller renames the file.

    Raises
    ------
    DsegError
        If it cannot be written: see `failed_writes.writing`.
    """
    path = Path(path)
    part = under or temporary_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
            if under is None:
                part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
