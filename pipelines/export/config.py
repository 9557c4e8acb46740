"""What ``dseg export`` is asked for, and what it tells of a run."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ExportConfig", "ExportSummary"]


@dataclass(frozen=True)
class ExportConfig:
    """One run of ``dseg export``.

    Parameters
    ----------
    student : path
        What ``dseg distil`` wrote.
    onnx : path
        The file to be written.
    overwrite : bool
        Replace a file that is there.
    """

    student: Path
    onnx: Path
    overwrite: bool = False


@dataclass(frozen=True)
class ExportSummary:
    """What a run did.

    Parameters
    ----------
    onnx : str
    network : str
        The kind of student.
    classes : int
    n_bytes : int
        Of the file.
    difference : float, optional
        The largest difference of a score from PyTorch's, relative to the largest score, on random
        images of two sizes; None if onnxruntime is not installed.
    """

    onnx: str
    network: str
    classes: int
    n_bytes: int
    difference: float | None
