"""How much memory a fit may take, and for what."""

import ctypes
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from ...classify.ensemble.members import hidden_widths
from ...store.sampling.dask_tasks import PIECE_BYTES
from ...store.spec import FeatureSpec

__all__ = [
    "Budget",
    "budget_for",
    "default_memory",
    "memory_limit",
    "peak_resident",
    "return_freed_memory",
]

# Float32 weights, gradients, Adam's two moments. Where members stop one by one, those left are
# copied before the old stack goes: at worst weights of all, .9 and .8, and moments 1.8 and 1.6.
_COPIES_OF_PARAMETERS = {"default": 4.0, "paper": 6.2}
# A batch as float32, and as float16 or in work.
_COPIES_OF_BATCH = 2.5
# A chunk as stored, as decoded, and in the array that zarr returns; of uint8, decoded in float32.
_COPIES_OF_CHUNK = 3.5
# Class (2 bytes), column (2 bytes), and int64 while classes are counted.
_BYTES_PER_PIXEL = 12
# What the first step and the first read bring in (torch's optimisers alone import 70 MB), threads,
# and what malloc keeps.
_FIXED = 125_000_000
# What finding the components brings in: SciPy's linear algebra, by way of scikit-learn.
_REDUCING = 55_000_000
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
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


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


@dataclass(frozen=True)
class Budget:
    """How the memory of a fit is shared out.

    Parameters
    ----------
    memory : int
        Bytes allowed above what the imports take.
    fixed : int
        Bytes of parameters with gradients and moments, batches, labels, and whatever is the same
        for every store.
    reader : int
        Bytes that one reading thread works with.
    readers : int
        Threads that read at once.
    features : int
        Bytes of features without which no training is possible.
    """

    memory: int
    fixed: int
    reader: int
    readers: int
    features: int

    @property
    def free(self) -> int:
        """What is left for features; below 0 if not even the rest fits."""
        return self.memory - self.fixed - self.readers * self.reader

    @property
    def least(self) -> int:
        """The least memory that works: with one reader, and the fewest features held."""
        return self.fixed + self.reader + self.features

    def taken(self, held: int) -> int:
        """Return what is used of the memory where so many bytes of features are held."""
        return self.fixed + self.readers * self.reader + held


def budget_for(
    memory: int,
    spec: FeatureSpec,
    *,
    chunk: int,
    n_pixels: int,
    n_classes: int,
    members: int,
    batch_size: int,
    recipe: str,
    readers: int,
    features: int,
    reduced: FeatureSpec | None = None,
    sample: int = 0,
) -> Budget:
    """Share out the memory; there are fewer readers than asked for where it is short.

    Parameters
    ----------
    memory : int
        Bytes.
    spec : FeatureSpec
    chunk : int
        Bytes that are read at a time, see `Features.chunk_bytes`.
    n_pixels, n_classes, members, batch_size : int
    recipe : {"default", "paper"}
    readers : int
        At most so many.
    features : int
        As in `Budget`; from `least_free`.
    reduced : FeatureSpec, optional
        Of the features that are trained on, where those of the store are reduced.
    sample : int
        Bytes that the search for the reduction takes: nothing is read meanwhile, and it ends before
        there are parameters.
    """
    first, second = hidden_widths(n_classes)
    dims = spec.dims if reduced is None else reduced.dims
    # in the end the first layer is made to take all channels, one map size after the other
    expansion = 0 if reduced is None else 2 * 4 * members * spec.dims * first
    parameters = dims * first + first * second + second * n_classes + 4 * (first + second)
    fixed = (
        4 * members * parameters * _COPIES_OF_PARAMETERS[recipe]
        + 4 * members * batch_size * dims * _COPIES_OF_BATCH
        + expansion
        + n_pixels * _BYTES_PER_PIXEL
        + _FIXED
        + (0 if reduced is None else _REDUCING)
    )
    reader = max(_COPIES_OF_CHUNK * chunk, chunk + 2 * PIECE_BYTES)
    if reduced is not None:
        later = fixed - _FIXED - _REDUCING - n_pixels * _BYTES_PER_PIXEL
        features = max(features, int(sample - later - reader))
    affordable = int((memory - fixed - features) // (4 * reader))  # reading takes a quarter of it
    return Budget(memory, int(fixed), int(reader), min(readers, max(1, affordable)), features)
