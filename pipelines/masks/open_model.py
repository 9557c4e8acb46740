"""A folder opened as what it is: an ensemble or a student; and the files that identify it."""

from pathlib import Path

import torch

from ...classify.ensemble.model_files import model_files
from ...distil.student.files import STUDENT_FOLDER
from .ensemble_model import EnsembleModel
from .mask_model import MaskModel
from .student_model import StudentModel

__all__ = ["files_of_model", "open_mask_model"]


def open_mask_model(folder: Path, device: torch.device) -> MaskModel:
    """Open what ``dseg fit`` or ``dseg distil`` wrote, or a folder of published ``model_<i>.pth``.

    Raises
    ------
    InputError
        If it is neither, or damaged.
    """
    return (
        StudentModel(folder, device)
        if STUDENT_FOLDER.is_at(folder)
        else EnsembleModel(folder, device)
    )


def files_of_model(folder: Path) -> tuple[Path, ...]:
    """Return the files of a model that determine its masks."""
    return STUDENT_FOLDER.files(folder) if STUDENT_FOLDER.is_at(folder) else model_files(folder)
