"""The folder of a run: what of it is ours, whether a run in it goes on, what is added to it.

===================== ================================================================
part                  holds
===================== ================================================================
student.*             the student, once the run has ended, see `student.files`
training/             the state from which a run goes on
soft-labels/          the teacher's, see `data.soft_labels`, and ``teacher.json``: whose
log.jsonl             a line now and then: step, loss, held-out mIoU
curve.png             the latter drawn
===================== ================================================================

With ``--overwrite`` an older student stays until the new one is written. What is not ours is never
touched.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ...pretrain.run.continuing import values_to_continue
from ...pretrain.run.log_file import RunLog
from ...pretrain.run.loop import Length
from ...pretrain.run.state import HALF_MADE, STATE, has_state, read_state, write_state
from ...store.atomic_folder import is_free, is_temporary, remove_temporary_files
from ...store.claims import is_lock
from ...store.errors import InputError
from ...store.texts import read_json
from ...store.whole_file import write_whole
from ..student.files import STUDENT_FOLDER

__all__ = ["SOFT_LABELS", "StudentFolder"]

SOFT_LABELS = "soft-labels"
_LOG, _TEACHER = "log.jsonl", "teacher.json"
_RESULT = {STUDENT_FOLDER.json, STUDENT_FOLDER.tensors, "curve.png"}
_OURS = {STATE, _LOG, SOFT_LABELS, *_RESULT, *HALF_MADE, ".DS_Store"}
_ELSE = "give another --out"
_WORDS = {
    "images_sha256": "the images",
    "labels_sha256": "the labelled images",
    "teacher": "the model",
}


class StudentFolder:
    """The folder of a run.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    log : RunLog
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = RunLog(path / _LOG)

    @property
    def soft_labels(self) -> Path:
        """The folder of the teacher's soft labels."""
        return self.path / SOFT_LABELS

    @property
    def curve(self) -> Path:
        """Of the picture of the curve, without its ending."""
        return self.path / "curve"

    def state_to_continue(
        self, settings: Mapping[str, Any], length: Length, *, overwrite: bool
    ) -> dict[str, Any] | None:
        """Return the values of the state that a run goes on from; None if it begins.

        Parameters
        ----------
        settings : mapping
            What a run must keep when it goes on, plain JSON values.
        length : Length
        overwrite : bool
            Begin anew where there is a run of other settings, a damaged, or a finished one.

        Raises
        ------
        InputError
            If there is something else, or a run of other settings.
        DsegError
            If the state is damaged.
        """
        if not has_state(self.path / STATE):
            self._refuse_finished(overwrite)
        return values_to_continue(
            self.path / STATE,
            settings,
            length,
            overwrite=overwrite,
            words=_WORDS,
            same="use the same options and files to continue it, give another --out",
        )

    def refuse_others(self) -> None:
        """Refuse a folder of something else, before anything is read.

        Raises
        ------
        InputError
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"'{self.path}' is a file: {_ELSE}")
        if is_free(self.path):
            return
        there = {part.name for part in self.path.iterdir() if not _is_ours(part.name)}
        if there:
            raise InputError(
                f"'{self.path}' contains files that are not of `dseg distil`, such as "
                f"'{min(there)}': {_ELSE}"
            )

    def _refuse_finished(self, overwrite: bool) -> None:
        if STUDENT_FOLDER.is_at(self.path) and not overwrite:
            raise InputError(
                f"'{self.path}' contains a student without the state to continue from: {_ELSE}, "
                "or use --overwrite to start again"
            )

    def prepare(self, step: int | None) -> None:
        """Make ready for a run that goes on after a step, or begins: forget what comes after it."""
        remove_temporary_files(self.path)
        self.log.forget_after(-1 if step is None else step)

    def has_soft_labels(self, teacher: Mapping[str, Any]) -> bool:
        """Say whether the soft labels that are there are of this teacher and these sizes."""
        try:
            return bool(read_json(self.soft_labels / _TEACHER) == dict(teacher))
        except (OSError, ValueError):
            return False

    def claim_soft_labels(self, teacher: Mapping[str, Any]) -> None:
        """Make the folder of soft labels; remove those of another teacher, or of other sizes."""
        if not self.has_soft_labels(teacher):
            shutil.rmtree(self.soft_labels, ignore_errors=True)
            self.soft_labels.mkdir(parents=True)
            path = self.soft_labels / _TEACHER
            write_whole(path, (json.dumps(dict(teacher), indent=1) + "\n").encode())

    def save(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Write the state in place of the one before.

        Raises
        ------
        DsegError
            If it cannot be written; the one before is kept.
        """
        write_state(self.path / STATE, tensors, values)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and values of the state.

        Raises
        ------
        DsegError
            If it is damaged.
        """
        return read_state(self.path / STATE)

    def result(self, step: int) -> dict[str, Any]:
        """Return the training facts of the student if it is of that step, else nothing."""
        try:
            facts = STUDENT_FOLDER.facts(self.path)["training"]
        except (InputError, KeyError):
            return {}
        whole = (self.path / STUDENT_FOLDER.tensors).is_file() and facts.get("steps") == step
        return dict(facts) if whole else {}


def _is_ours(name: str) -> bool:
    return name in _OURS or is_lock(name) or is_temporary(name)
