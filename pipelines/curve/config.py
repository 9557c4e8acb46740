"""What ``dseg curve`` takes and returns."""

from dataclasses import dataclass, field
from pathlib import Path

from ..training.options import StoreTraining
from .report import Point

__all__ = ["CurveConfig", "CurveSummary"]


@dataclass(frozen=True)
class CurveConfig(StoreTraining):
    """One run of ``dseg curve``; what to train on, and how, is in `StoreTraining`.

    Parameters
    ----------
    out : path
        Folder of what it writes.
    counts : tuple of int, optional
        Numbers of images to train on; by default see `chosen_counts`.
    draws : int
        Number of random draws of the training images.
    test_list : path, optional
        Stems of the images to score on; by default see `make_draws`.
    """

    out: Path = Path("curve")
    counts: tuple[int, ...] | None = None
    draws: int = 5
    test_list: Path | None = None


@dataclass(frozen=True)
class CurveSummary:
    """What was found, or with ``dry_run`` what a run would do.

    Parameters
    ----------
    curve : str
        The folder.
    images : int
        Labelled images.
    counts : tuple of int
        Numbers of them that are trained on.
    cells, done : int
        Trainings in all, and those that an earlier run has done.
    points : tuple of Point
        The curve, including numbers of images from earlier runs.
    verdict : str
        What the last doubling brought, as a sentence.
    seconds : float
        Of this run; for a dry run, what it would take.
    failed : dict
        Images that were left out because their features cannot be read, and why.
    """

    curve: str
    images: int
    counts: tuple[int, ...]
    cells: int
    done: int
    points: tuple[Point, ...] = ()
    verdict: str = ""
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
