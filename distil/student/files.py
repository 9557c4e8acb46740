"""Students on disk: a folder with a safetensors file of weights and a JSON file.

==================== =======================================================================
file                 holds
==================== =======================================================================
student.safetensors  the network's tensors by name
student.json         ``format``, ``version``; ``network``, the kind of student; ``classes``
                     (names and colours); ``view``: at which size images are seen;
                     ``normalisation``: mean and standard deviation of the channels, by which
                     the network itself normalises values in [0, 1]; ``white`` of images of 16
                     bits a channel, and ``reading``: which bands, plane and levels, where they
                     are named; ``teacher``: what it learnt from; ``training``: how;
                     ``extra``: its labelled images; ``sha256`` of student.safetensors;
                     ``versions`` of the libraries
==================== =======================================================================

Other files of the folder belong to the run that made it.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load as parse_tensors
from safetensors.torch import save as tensor_bytes
from torch import nn

from ...classify.labels.classes import Classes
from ...extract.images.reading import PLAIN
from ...extract.images.reading_spec import ReadingSpec
from ...store.atomic_folder import temporary_path
from ...store.errors import DsegError
from ...store.sealed_folder import SealedFolder
from ...store.seals import sealed
from ..networks.registry import student_kind
from .view import View

__all__ = ["STUDENT_FOLDER", "Student", "read_student", "write_student"]

STUDENT_FOLDER = SealedFolder(
    kind="student",
    name="dseg-student",
    version=1,
    json="student.json",
    tensors="student.safetensors",
    maker="dseg distil",
    again="repeat the command that made it",
)
LIBRARIES = ("dseg", "numpy", "safetensors", "torch")


@dataclass(frozen=True)
class Student:
    """A trained student.

    Parameters
    ----------
    network : nn.Module
        (B, 3, H, W) float32 in [0, 1] → scores (B, C, H, W); evaluation mode, on the CPU.
    kind : str
        One of `registry.KINDS`.
    classes : Classes
    view : View
        At which size it sees images.
    reading : ReadingSpec
        How image files are read.
    teacher, training, extra : mapping
        What it learnt from, how, and its labelled images; plain JSON values.
    """

    network: nn.Module
    kind: str
    classes: Classes
    view: View
    reading: ReadingSpec = PLAIN
    teacher: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def write_student(student: Student, folder: Path) -> None:
    """Write a student; of an older one each file is replaced whole, the JSON last.

    Killed between the two, the folder is said to be damaged until the run that wrote it is
    repeated.

    Raises
    ------
    DsegError
        If it cannot be written.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in student.network.state_dict().items()}
    tensors, kind = tensor_bytes(state), student_kind(student.kind)
    facts = {
        "format": STUDENT_FOLDER.name,
        "version": STUDENT_FOLDER.version,
        "network": student.kind,
        "classes": student.classes.to_list(),
        "view": student.view.to_dict(),
        "normalisation": {"mean": list(kind.mean), "std": list(kind.std)},
        "white": student.reading.white,
        **({} if student.reading.is_plain else {"reading": student.reading.to_dict()}),
        "teacher": dict(student.teacher),
        "training": dict(student.training),
        "extra": dict(student.extra),
        "sha256": hashlib.sha256(tensors).hexdigest(),
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
    }
    text = json.dumps(sealed(facts), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    made = [(temporary_path(path), path) for path in STUDENT_FOLDER.files(folder)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for (temporary, _), data in zip(made, (tensors, text.encode()), strict=True):
            temporary.write_bytes(data)
        for temporary, path in made:
            temporary.replace(path)
    except OSError as error:
        for temporary, _ in made:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise DsegError(
            f"the student cannot be written to '{folder}': {error}. Repeat the command to write it"
        ) from error


def read_student(folder: Path) -> Student:
    """Read what `write_student` wrote.

    Raises
    ------
    InputError
        If the folder is no student, is of a newer format, or damaged.
    """
    facts = STUDENT_FOLDER.facts(folder)
    with STUDENT_FOLDER.reading(folder, facts) as tensors:
        classes = Classes.from_list(facts["classes"])
        network = student_kind(facts["network"]).blank(len(classes))
        network.load_state_dict(parse_tensors(tensors))
        view = View.from_dict(facts["view"])
        reading = ReadingSpec.of({**facts.get("reading", {}), "white": int(facts["white"])})
        about = (dict(facts[key]) for key in ("teacher", "training", "extra"))
        frozen = network.eval().requires_grad_(False)
        return Student(frozen, facts["network"], classes, view, reading, *about)
