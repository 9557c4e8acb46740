"""Models, students and trained networks: JSON and the tensors that it seals."""

import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...classify.ensemble.model_files import MODEL_FOLDER, read_model
from ...distil.run.folder import SOFT_LABELS
from ...distil.student.files import STUDENT_FOLDER, read_student
from ...pretrain.run.state import HALF_MADE, STATE, has_state
from ...store.errors import InputError
from ...store.read.strays import LEFT
from ...store.sealed_folder import SealedFolder
from ...store.seals import is_broken
from ..console.progress import Progress
from .faults import Fault, Subject, leftovers_in

__all__ = ["ModelSubject", "NetworkSubject", "StudentSubject"]


class ModelSubject(Subject):
    """A model of ``dseg fit``."""

    kind = "model"
    again = "fit again, with --overwrite"

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong; it cannot be mended, for only a training makes a model."""
        found = _of_sealed(self._path, MODEL_FOLDER, read_model)
        return found + (leftovers_in(self._path) if alone else [])


class StudentSubject(Subject):
    """A student of ``dseg distil``, with its run."""

    kind = "student"
    again = "repeat the same distil command"

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong with the student and with the teacher's soft labels."""
        made = any(file.exists() for file in STUDENT_FOLDER.files(self._path))
        found = _of_sealed(self._path, STUDENT_FOLDER, read_student) if made else []
        if has_state(self._path / STATE):  # from which the run writes it again
            found = [Fault(one.file, one.words, mend=self._remove_student) for one in found]
        soft = sorted((self._path / SOFT_LABELS).glob("*.npz"))
        with progress.bar("verify", len(soft), "soft labels") as advance:
            for file in soft:
                fault = _zip_fault(file)
                if fault is not None:
                    name = f"{SOFT_LABELS}/{file.name}"
                    found.append(Fault(name, fault, mend=file.unlink))
                advance(1)
        return found + (_leftovers_of_run(self._path) if alone else [])

    def _remove_student(self) -> None:
        for file in STUDENT_FOLDER.files(self._path):
            self._aside.move(file)


class NetworkSubject(Subject):
    """A diffusion model of ``dseg pretrain``: only what killed runs left in its folder."""

    kind = "network"
    again = "repeat the same pretrain command"

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what killed runs left."""
        return _leftovers_of_run(self._path) if alone else []


def _of_sealed(path: Path, form: SealedFolder, read: Callable[[Path], object]) -> list[Fault]:
    """Return what is wrong with a folder of facts and tensors."""
    name, words = form.json, ""
    try:
        facts = form.facts(path)
        if is_broken(facts):
            return [Fault(name, f"does not match its checksum. Was it edited? {_what(form)}")]
        name = form.tensors
        read(path)
    except InputError as error:
        words = str(error)
    return [Fault(name, words)] if words else []


def _what(form: SealedFolder) -> str:
    return f"Restore it from a copy, or {form.again}"


def _zip_fault(file: Path) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            torn = archive.testzip()
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        return f"cannot be read: {error}"
    return None if torn is None else f"'{torn}' in it does not match its checksum"


def _leftovers_of_run(path: Path) -> list[Fault]:
    """Return what killed trainings left, which go on from a state in the folder."""
    has_state(path / STATE)  # finishes a replacement that was cut short
    found = leftovers_in(path)
    for name in (*HALF_MADE, ".new"):
        if (path / name).is_dir():
            found.append(Fault(name, LEFT, mend=partial(shutil.rmtree, path / name)))
    return found
