"""What ``dseg report`` is asked for, and what it tells of a page."""

from dataclasses import dataclass, field
from pathlib import Path

from ...store.urls.location import Location
from .findings.candidates import Candidate
from .findings.suspects import Suspect

__all__ = ["ReportConfig", "ReportSummary"]


@dataclass(frozen=True)
class ReportConfig:
    """One run of ``dseg report``.

    Parameters
    ----------
    model : path
        Folder of `dseg fit`.
    folds_out : path, optional
        Folder of held-out masks; by default the one that the model recorded.
    labels : path, optional
        Folder of label maps; by default the one that the model recorded.
    images : path, optional
        Folder of the images, to draw masks over.
    masks : path, optional
        Folder of `dseg predict`, of images that may be labelled next.
    out : path
        The HTML file.
    overwrite : bool
    """

    model: Path
    folds_out: Path | None = None
    labels: Location | None = None
    images: Location | None = None
    masks: Location | None = None
    out: Path = Path("report.html")
    overwrite: bool = False


@dataclass(frozen=True)
class ReportSummary:
    """What a page says, in short.

    Parameters
    ----------
    report : str
        The file.
    n_bytes : int
    images : int
        Held-out images that were scored.
    mean_iou, pixel_accuracy : float, optional
        Of them; None without held-out masks.
    interval : tuple of float, optional
        Of the mIoU.
    iou : dict
        Of each class by its name.
    suspicious : list of Suspect
    label_next : list of Candidate
    missing : list of str
        Sections of the page for which an input is missing.
    """

    report: str
    n_bytes: int
    images: int = 0
    mean_iou: float | None = None
    pixel_accuracy: float | None = None
    interval: tuple[float, float] | None = None
    iou: dict[str, float | None] = field(default_factory=dict)
    suspicious: list[Suspect] = field(default_factory=list)
    label_next: list[Candidate] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
