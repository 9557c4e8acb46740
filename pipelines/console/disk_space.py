"""Whether what a run is about to write fits on its disk."""

import shutil
from pathlib import Path

from ...store.errors import DsegError

__all__ = ["free_bytes", "refuse_too_large"]


def free_bytes(out: Path) -> int:
    """Return the free bytes of the disk that a file or folder is on, or would be."""
    out = out.absolute()
    return shutil.disk_usage(next(p for p in (out, *out.parents) if p.exists())).free


def refuse_too_large(n_bytes: int, out: Path, smaller: str) -> None:
    """Refuse before the first byte what cannot fit.

    Parameters
    ----------
    n_bytes : int
        That a run writes at most.
    out : path
    smaller : str
        What makes it less, for the message: "a smaller --count".

    Raises
    ------
    DsegError
    """
    free = free_bytes(out)
    if n_bytes > free:
        raise DsegError(
            f"up to {n_bytes / 1e6:.0f} MB are needed but {free / 1e6:.0f} MB are free at "
            f"'{out}': choose another disk, or {smaller}"
        )
