"""What a stage costs: seconds, and the highest resident memory while it ran."""

import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from dseg.store.errors import DsegError

__all__ = ["Meter", "apart", "machine"]

T = TypeVar("T")


class Meter:
    """Measures stages by name.

    Where the system can forget a process's peak (Linux), each stage has its own; elsewhere it is
    the peak of the process so far. Interpreter, libraries and what earlier stages hold count.

    Attributes
    ----------
    seconds, peak_mb, gpu_peak_mb : dict
        By name of stage. The last is empty without CUDA.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}
        self.gpu_peak_mb: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done within."""
        _forget_peak()
        start = time.monotonic()
        yield
        gpu = _cuda()
        if gpu is not None:
            gpu.synchronize()
            self.gpu_peak_mb[name] = round(gpu.max_memory_allocated() / 1e6, 1)
        self.seconds[name] = round(time.monotonic() - start, 2)
        self.peak_mb[name] = round(_peak_mb(), 1)

    def drop(self, name: str) -> None:
        """Forget a stage that had nothing to do."""
        for figures in (self.seconds, self.peak_mb, self.gpu_peak_mb):
            figures.pop(name, None)

    def figures(self) -> dict[str, dict[str, float]]:
        """Return what was measured, in plain JSON values."""
        return vars(self)


def _cuda() -> Any:
    """Return torch's CUDA module if this process uses it; it is not worth an import to find out."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _forget_peak() -> None:
    with suppress(OSError):  # Linux only
        Path("/proc/self/clear_refs").write_text("5")
    gpu = _cuda()
    if gpu is not None:
        gpu.reset_peak_memory_stats()


def _peak_mb() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024 / 1e6


def machine(device: str) -> str:
    """Say what a run computed on, in a few words: results of two machines are not one result."""
    if device.startswith("cuda"):
        return str(sys.modules["torch"].cuda.get_device_name())
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{device}, {cores} cores"


def apart(work: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own, so that no earlier work counts in its peak.

    Raises
    ------
    DsegError
        If the process was killed. What the function raises comes through as it is.
    """
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_end_with_parent) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool as error:
            raise DsegError("its process was killed: did the memory not suffice?") from error


def _end_with_parent() -> None:
    """Make this process end when the one that started it is killed, which would not stop it."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()
