"""``dseg doctor``: look at the installation and the machine, and try the three commands."""

import platform
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ... import __version__
from ...extract.networks.devices import choose_device
from ...store.errors import DsegError
from ..console.progress import Progress
from ..training.memory import memory_limit
from .config import DoctorConfig, DoctorReport, SelfTest
from .machine import cores, disks, free_memory, gpus, has_locks, unused_gpu
from .packages import installed_packages, missing_of_extras
from .self_test import self_test

__all__ = ["doctor"]

_LEAST_MEMORY = 2 * 10**9
_LEAST_DISK = 10**9
_LEAST_RIGHT = 0.5  # of the pixels that were learnt from; the commonest class has a third


def doctor(config: DoctorConfig, progress: Progress | None = None) -> DoctorReport:
    """Look at versions, devices, memory, disk and locks, and run the three commands.

    Nothing is left behind. What fails is told in the report.

    Raises
    ------
    DsegError
        If the device that was asked for does not exist.
    """
    progress = progress or Progress()
    device = str(choose_device(config.device))
    versions, wrong = installed_packages()
    locks = has_locks(Path.cwd())
    odd = _odd(locks)
    tried = _try(device, progress) if config.self_test else None
    if isinstance(tried, str):
        wrong.append(tried)
    return DoctorReport(
        dseg=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        packages=versions,
        extras=missing_of_extras(),
        device=device,
        gpus=gpus(),
        cores=cores(),
        memory=memory_limit(),
        free_memory=free_memory(),
        free_disk=disks(),
        locks=locks is True,
        self_test=tried if isinstance(tried, SelfTest) else None,
        problems=[*wrong, *odd],
        works=not wrong,
    )


def _odd(locks: bool | None) -> list[str]:
    """Return what dseg works with, but not as it should."""
    found, here = [], f"the working folder '{Path.cwd()}'"
    if unused_gpu():
        found.append(
            f"there seems to be an NVIDIA GPU, but PyTorch {torch.__version__} cannot use it: "
            "install the build for your CUDA version, as pytorch.org names it"
        )
    if (memory := free_memory()) < _LEAST_MEMORY:
        found.append(
            f"only {memory / 1e9:.1f} GB of memory are free, of which the three commands take 0.6 "
            "and more: end other programs, or see first what a run takes (--dry-run)"
        )
    for folder, free in disks().items():
        if free < _LEAST_DISK:
            found.append(
                f"only {free / 1e9:.1f} GB are free in '{folder}'; an image of the default "
                "features takes about 3 MB: free some, or write to another disk"
            )
    if locks is None:
        found.append(f"no file can be written into {here}: run dseg where you may write")
    elif not locks:
        found.append(
            f"the file system of {here} has no locks: make sure yourself that two runs never "
            "write into one folder"
        )
    return found


def _try(device: str, progress: Progress) -> SelfTest | str:
    """Run the three commands; return what came of it, or why it failed, in words."""
    progress.say("self-test: extract, fit and predict on two drawn images")
    try:
        with TemporaryDirectory(prefix="dseg-doctor-") as folder:
            tried = self_test(Path(folder), device)
    except (DsegError, OSError, RuntimeError, ImportError, MemoryError) as error:
        return f"the self-test failed on {device}: {type(error).__name__}: {error}"
    if tried.right < _LEAST_RIGHT:
        return (
            f"the self-test's masks are wrong: {tried.right:.0%} of the pixels that the model "
            f"learnt from have their class. Does --device cpu do better than {device}?"
        )
    return tried
