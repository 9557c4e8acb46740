"""What this machine offers: processors, GPUs, memory, disks, locks."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil
import torch

from ...store.file_lock import NO_LOCKS, try_lock
from ..training.memory import memory_limit

__all__ = ["cores", "disks", "free_memory", "gpus", "has_locks", "unused_gpu"]


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus() -> list[str]:
    """Return the names of the GPUs that PyTorch can use, with their memory."""
    found = []
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        found.append(f"cuda:{number} {about.name}, {about.total_memory / 1e9:.0f} GB")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def unused_gpu() -> bool:
    """Whether there seems to be an NVIDIA GPU that this build of PyTorch cannot use."""
    driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    return driver and not torch.cuda.is_available()


def free_memory() -> int:
    """Return the bytes that this process could still take, within a container's limit too."""
    return min(int(psutil.virtual_memory().available), memory_limit())


def disks() -> dict[str, int]:
    """Return the free bytes of the working folder's disk, and of that for temporary files."""
    here, temporary = Path.cwd(), Path(tempfile.gettempdir())
    return {str(folder): shutil.disk_usage(folder).free for folder in (here, temporary)}


def has_locks(folder: Path) -> bool | None:
    """Whether the file system of a folder has locks; None if no file can be written there."""
    path = folder / f".dseg-doctor-{os.getpid()}.lock"
    try:
        lock = try_lock(path)
    except OSError as error:
        path.unlink(missing_ok=True)
        return False if error.errno in NO_LOCKS else None
    if lock is not None:
        lock.release()
    return lock is not None
