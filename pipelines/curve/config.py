"""What ``dseg curve`` is asked for, and what it tells of a run."""

from dataclasses import dataclass
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
        Of how many images to learn; by default see `chosen_counts`.
    draws : int
        How often to draw images anew.
    test_list : path, optional
        Stems of the images to score on; by default see `make_draws`.
    """

    out: Path = Path("curve")
    counts: tuple[int, ...] | None = None
    draws: int = 5
    test_list: Path | None = None


@dataclass(frozen=True)
class CurveSummary:
    """What was found, or with ``dry_run`` would be done.

    Parameters
    ----------
    curve : str
        The folder.
    images : int
        Labelled images.
    counts : tuple of int
        Of how many of them it learns.
    cells, done : int
        Trainings in all, and those that were there already.
    points : tuple of Point
        The curve, with what of other numbers of images is there already.
    verdict : str
        What the last doubling brought, in words.
    seconds : float
        Of this run; for a dry run, what it would take.
    """

    curve: str
    images: int
    counts: tuple[int, ...]
    cells: int
    done: int
    points: tuple[Point, ...] = ()
    verdict: str = ""
    seconds: float = 0.0
