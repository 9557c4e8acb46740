"""``dseg distil``: a small network that learns what an ensemble says of many images."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...classify.labels.classes import Classes
from ...distil.networks.registry import student_kind
from ...distil.run.folder import StudentFolder
from ...extract.networks.devices import choose_device
from ...pretrain.run.loop import Length
from ...store.claims import claimed
from ...store.errors import InputError
from ...store.synthetic import is_synthetic_store
from ..console.optional_packages import require
from ..console.progress import Progress
from ..training.memory import memory_errors, return_freed_memory
from .config import DistilConfig, DistilEstimate, DistilSummary
from .estimate import estimate
from .material import Origin, material_of
from .real import RealImages
from .session import Session, own_settings
from .sources import is_synthetic
from .stored import SyntheticStore
from .synthetic import SyntheticFolder

__all__ = ["distil"]

Check = Callable[[Classes, Mapping[str, Any]], object]
"""Refuses a folder with a run of other settings, before the teacher begins."""


def distil(
    config: DistilConfig, progress: Progress | None = None
) -> DistilSummary | DistilEstimate:
    """Train a student; go on where an earlier run stopped.

    Raises
    ------
    DsegError
        If source, labels and model do not fit, the folder holds something else or a run of other
        settings, the run diverges, or cannot be written.
    KeyboardInterrupt
        If the process was asked to stop; the state is saved.
    """
    progress = progress or Progress()
    return_freed_memory()
    device, folder = choose_device(config.device), StudentFolder(config.out)
    _check(config, folder)

    def check(classes: Classes, settings: Mapping[str, Any]) -> None:
        every = {**settings, **own_settings(config, classes)}
        folder.state_to_continue(every, Length(), overwrite=config.overwrite)

    helps = "a smaller --batch-size or --size"
    if config.dry_run:
        with memory_errors(helps):
            origin = _origin(config, device, check, progress)
            return estimate(config, origin, folder, device, progress)
    with claimed(config.out, None, "dseg distil", warn=progress.warn), memory_errors(helps):
        origin = _origin(config, device, check, progress)
        folder.claim_soft_labels(origin.teaching)
        material = material_of(config, origin, folder.soft_labels, progress)
        return Session(config, material, folder, device, progress).outcome()


def _origin(config: DistilConfig, device: torch.device, check: Check, progress: Progress) -> Origin:
    """Return what is learnt from, once the folder is known to hold no run of other settings."""
    origin: Origin
    if is_synthetic_store(config.source):
        origin = SyntheticStore.read(config, progress)
    elif is_synthetic(config.source):
        origin = SyntheticFolder.read(config, progress)
    else:
        origin = RealImages.read(config, device, progress)
    check(origin.kind.classes, origin.kind.settings(origin.labelled))
    return origin


def _check(config: DistilConfig, folder: StudentFolder) -> None:
    """Refuse what can be seen before anything is read."""
    kind = student_kind(config.network)
    if kind.needs is not None:
        require(kind.needs)
    if config.recipe == "paper" and config.network != "deeplab":
        raise InputError(
            f"--recipe paper is of DeepLabV3-ResNet-101: add --network deeplab, not "
            f"'{config.network}'"
        )
    if config.network in ("deeplab", "mobilenet") and config.batch_size == 1:
        raise InputError(
            f"{kind.title} normalises by the batch, which has to be of at least two images: give a "
            "larger --batch-size"
        )
    out = config.out.resolve()
    for given in (config.source, config.images, config.labels, config.model):
        if given is not None and (out == given.resolve() or given.resolve() in out.parents):
            raise InputError(f"--out '{config.out}' is inside of '{given}': give another folder")
    folder.refuse_others()
