"""``dseg verify``: find what is not as it was written; with ``--repair`` mend it.

What is mended in turn: what killed runs left beside; the root of a store, its metadata, its tables;
then images and what belongs to none. Images of a store are extracted again at last, by the code of
``dseg extract``.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ...classify.ensemble.model_files import MODEL_FOLDER
from ...distil.run.folder import SOFT_LABELS
from ...distil.student.files import STUDENT_FOLDER
from ...extract.checkpoints.card import CARD
from ...extract.images.sample_records import FACTS as SAMPLE_FACTS
from ...extract.images.sample_records import RECORDS as SAMPLE_RECORDS
from ...extract.networks.options import BackboneOptions
from ...pretrain.run.state import STATE
from ...store.claims import active_run, claimed
from ...store.errors import DsegError, InputError
from ..console.progress import Progress
from ..extract.config import ExtractConfig, ExtractSummary
from ..extract.run import extract
from ..masks.manifest import FILE as MANIFEST
from ..synthesize.folder import FACTS as SYNTHETIC_FACTS
from ..synthesize.folder import RECORDS as SYNTHETIC_RECORDS
from .beside import leftovers_beside
from .config import VerifyConfig, VerifySummary
from .drawn import SamplesSubject, SyntheticSubject
from .faults import Aside, Fault, Subject
from .feature_store import StoreSubject
from .masks import MasksSubject
from .models import ModelSubject, NetworkSubject, StudentSubject
from .synthetic_store import SyntheticStoreSubject, seems_synthetic_store

__all__ = ["verify"]

_ROUNDS = 6  # of mending: what is wrong with images only shows when tables are whole
_KINDS = (
    "`dseg extract`, `dseg fit`, `dseg predict`, `dseg distil`, `dseg sample`, `dseg synthesize` "
    "or `dseg pretrain`"
)


def verify(config: VerifyConfig, progress: Progress | None = None) -> VerifySummary:
    """Read all that a command of dseg wrote, and say what is wrong with it.

    Raises
    ------
    InputError
        If it is nothing that dseg wrote, or with ``repair`` a run is writing there.
    """
    started, progress = time.monotonic(), progress or Progress()
    if config.images is not None and not config.repair:
        raise InputError("--images is the folder to extract from again: add --repair")
    if not config.path.exists() and not leftovers_beside(config.path):
        raise InputError(f"'{config.path}' does not exist: give the output of {_KINDS}")
    summary = _repaired(config, progress) if config.repair else _looked_at(config, progress)
    summary.seconds = time.monotonic() - started
    return summary


def _subject(config: VerifyConfig, aside: Aside) -> Subject | None:
    """Return what a path is; None if there are only left-over files beside it.

    Raises
    ------
    InputError
        If it is nothing that can be verified.
    """
    path = config.path
    if not path.exists():
        return None
    subject = _recognised(path, config.images, aside)
    if subject is None:
        raise InputError(f"'{path}' is nothing that can be verified: give the output of {_KINDS}")
    if config.images is not None and not isinstance(subject, StoreSubject):
        raise InputError(f"--images is for a feature store, but '{path}' is a {subject.kind}")
    return subject


def _recognised(path: Path, images: Path | None, aside: Aside) -> Subject | None:
    if seems_synthetic_store(path):
        return SyntheticStoreSubject(path, aside)
    if (path / "zarr.json").is_file() or (path / "layers/zarr.json").is_file():
        return StoreSubject(path, aside, images)
    if MODEL_FOLDER.is_at(path) or (path / MODEL_FOLDER.tensors).is_file():
        return ModelSubject(path, aside)
    if any((path / name).exists() for name in (STUDENT_FOLDER.json, STUDENT_FOLDER.tensors)):
        return StudentSubject(path, aside)
    if (path / MANIFEST).is_file():
        return MasksSubject(path, aside)
    if (path / SYNTHETIC_FACTS).is_file() or (path / SYNTHETIC_RECORDS).is_file():
        return SyntheticSubject(path, aside)
    if (path / SAMPLE_FACTS).is_file() or (path / SAMPLE_RECORDS).is_file():
        return SamplesSubject(path, aside)
    if (path / SOFT_LABELS).is_dir():  # of a run that has made no student yet
        return StudentSubject(path, aside)
    if (path / CARD).is_file() or (path / STATE).is_dir():
        return NetworkSubject(path, aside)
    return None


def _looked_at(config: VerifyConfig, progress: Progress) -> VerifySummary:
    holder = active_run(config.path)
    if holder is not None:
        progress.warn(
            f"{holder} is writing into '{config.path}': only what is complete is looked at"
        )
    subject = _subject(config, Aside(config.path))
    faults = [] if holder is not None else leftovers_beside(config.path)
    summary = VerifySummary(str(config.path), subject.kind if subject else "nothing")
    if subject is not None:
        faults += subject.faults(progress, alone=holder is None)
        summary.images = subject.images
    summary.writing = None if holder is None else str(holder)
    summary.faults = [_plain(fault, repaired=False) for fault in faults]
    if faults:
        summary.again = "`dseg verify --repair` mends what can be mended"
    return summary


def _plain(fault: Fault, *, repaired: bool, why: str = "") -> dict[str, object]:
    words = f"{fault.words}; {why}" if why else fault.words
    return {"file": fault.file, "image": fault.image, "words": words, "repaired": repaired}


def _repaired(config: VerifyConfig, progress: Progress) -> VerifySummary:
    path, aside = config.path, Aside(config.path)
    left = leftovers_beside(path)
    removed: dict[str, None] = {}
    remade = False
    with ExitStack() as stack:
        doing = "dseg verify --repair"
        claim = claimed(path, None, doing, in_parent=True, warn=progress.warn)
        stack.enter_context(claim)
        done = _mended(left)
        subject = _subject(config, aside)
        summary = VerifySummary(str(path), subject.kind if subject else "nothing")
        if subject is not None:
            if not isinstance(
                subject, StoreSubject | ModelSubject
            ):  # others claim the folder itself
                stack.enter_context(claimed(path, None, doing, warn=progress.warn))
            for _ in range(_ROUNDS):
                faults = _own(subject.faults(progress, alone=True))
                mended = _mended(faults)
                done += mended
                removed |= {f.image: None for f in faults if f.remade and f.image is not None}
                remade = remade or any(fault.remade for fault in faults)
                if not any(fault["repaired"] for fault in mended):
                    break
            summary.images, summary.again = subject.images, subject.again
    summary.faults, summary.removed = _last(done), tuple(removed)
    summary.set_aside = str(aside.folder) if aside.used else None
    if isinstance(subject, StoreSubject) and removed and config.images is not None:
        _extract_again(config, summary, progress)
    if summary.whole and not summary.removed and (summary.extracted or not remade):
        summary.again = ""
    return summary


def _own(faults: Sequence[Fault]) -> list[Fault]:
    """Leave out the claim of this very run."""
    return [fault for fault in faults if not fault.file.startswith(".dseg.")]


def _mended(faults: Sequence[Fault]) -> list[dict[str, object]]:
    """Mend what can be; return all, with what became of each."""
    done = []
    for fault in faults:
        why = ""
        try:
            if fault.mend is not None:
                fault.mend()
        except (DsegError, OSError) as error:
            why = str(error)
        done.append(_plain(fault, repaired=fault.mend is not None and not why, why=why))
    return done


def _last(done: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return each fault once: as it was the last time, for several rounds may have found it."""
    return list({(fault["file"], fault["image"]): fault for fault in done}.values())


def _extract_again(config: VerifyConfig, summary: VerifySummary, progress: Progress) -> None:
    """Extract the images that were damaged, if their network and their files are there."""
    assert config.images is not None
    options = BackboneOptions(device=config.device, backbone=config.backbone)
    made = ExtractConfig(
        config.images,
        config.path,
        () if config.checkpoint is None else (config.checkpoint,),
        layers_from=config.path,
        backbone=options,
        only=frozenset(summary.removed),
    )
    try:
        found = extract(made, progress)
    except DsegError as error:
        progress.warn(f"damaged images are not extracted again: {error}")
        return
    assert isinstance(found, ExtractSummary)
    summary.extracted = found.extracted
    summary.removed = tuple(summary.removed) if found.failed or not found.extracted else ()
    for name, reason in found.failed.items():
        progress.warn(f"'{name}' cannot be extracted again: {reason}")
