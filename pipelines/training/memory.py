"""Memory of this process: what may be taken, what was taken, and what goes back when freed."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from ...store.errors import DsegError

__all__ = [
    "default_memory",
    "keep_freed_memory",
    "memory_errors",
    "memory_limit",
    "peak_resident",
    "return_freed_memory",
]

# Hard and soft limits of a container: of control groups of version 1, then of version 2.
_CONTROL_GROUP = tuple(
    Path("/sys/fs/cgroup", name)
    for name in (
        "memory/memory.limit_in_bytes",
        "memory/memory.soft_limit_in_bytes",
        "memory.max",
        "memory.high",
        "memory.low",
    )
)
# glibc's M_MMAP_THRESHOLD, and the size from which blocks go back to the system when freed.
_M_MMAP_THRESHOLD, _LARGE = -3, 4 * 2**20
# Its M_TRIM_THRESHOLD, and the largest value that it takes for the other.
_M_TRIM_THRESHOLD, _LARGEST, _HELD = -1, 32 * 2**20, 2**30


def default_memory(device: torch.device) -> int:
    """Return half of what is free now, in bytes; a container's own limit counts too.

    On CUDA features and parameters lie in the GPU's memory, so that must hold them as well.
    """
    free = [psutil.virtual_memory().available, memory_limit()]
    if device.type == "cuda":
        free.append(torch.cuda.mem_get_info(device)[0])
    return int(min(free) // 2)


def memory_limit() -> int:
    """Return the most memory, in bytes, that the system lets this process have.

    That of the machine; less in a container, or under ``ulimit -m``.
    """
    limits: list[int] = [psutil.virtual_memory().total]
    if sys.platform == "win32":
        return limits[0]
    import resource

    for file in _CONTROL_GROUP:
        text = file.read_text().strip() if file.is_file() else "max"
        limits.append(int(text) if text.isdecimal() else 0)
    limits.append(resource.getrlimit(resource.RLIMIT_RSS)[1])  # negative: no limit
    return min(limit for limit in limits if limit > 0)


def return_freed_memory() -> None:
    """Have large blocks go back to the system as soon as they are freed, where malloc is glibc's.

    By itself it raises the size from which it does so with the blocks that it sees, and each
    thread that read chunks then keeps some of them for good: in a fit 200 MB beyond what is in
    use, in a prediction 100 MB more after a hundred images than after ten.
    """
    _set_malloc({_M_MMAP_THRESHOLD: _LARGE})


def keep_freed_memory() -> None:
    """Have freed blocks stay with the process: the opposite of `return_freed_memory`.

    A training step of a network takes the same blocks as the one before. If they went back to the
    system, each of their pages would be mapped and filled with zeros again.
    Blocks above 32 MB go back in any case.
    """
    _set_malloc({_M_MMAP_THRESHOLD: _LARGEST, _M_TRIM_THRESHOLD: _HELD})


def _set_malloc(options: dict[int, int]) -> None:
    """Set options of glibc's malloc, where it is that."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            for option, value in options.items():
                libc.mallopt(option, value)


@contextmanager
def memory_errors(helps: str) -> Iterator[None]:
    """Say what helps where memory runs out, on a GPU or not.

    Parameters
    ----------
    helps : str
        Such as "a smaller --batch-size".

    Raises
    ------
    DsegError
        In place of the errors that PyTorch and Python raise.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        no_room = "can't allocate memory" in str(error)  # torch on a CPU
        if no_room or isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise DsegError(f"out of memory: give {helps}") from error
        raise


def peak_resident() -> int:
    """Return the most memory, in bytes, that this process has had resident since it started.

    All of it counts, interpreter and libraries too; what lies in a GPU's memory does not.
    """
    status = Path("/proc/self/status")
    if status.is_file():  # rusage would count what the parent held when it started this process
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        if found:
            return 1024 * int(found[1])
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
