"""What ``cross_validation.json`` says, checked: the file may come from anybody."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ....store.errors import InputError
from ....store.texts import read_json
from ...training.cross_validation import RESULTS_FILE

__all__ = ["MOST_CLASSES", "CalibrationFacts", "CrossValidationFacts", "read_facts"]

MOST_CLASSES = 1000
"""Of a report: a table of pairs of classes is held for them."""

_MOST_BINS = 100


@dataclass(frozen=True)
class CalibrationFacts:
    """How well probabilities of held-out pixels are calibrated.

    Parameters
    ----------
    temperature : float
    error : tuple of two float
        Expected calibration error before and after the temperature.
    before, after : tuple of (probability, share that is right, share of the pixels)
    """

    temperature: float
    error: tuple[float, float]
    before: tuple[tuple[float, float, float], ...]
    after: tuple[tuple[float, float, float], ...]

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Check what `Calibration.to_dict` gave."""
        error = plain["calibration_error"]
        before, after = (_bins(plain["reliability"][key]) for key in ("before", "after"))
        temperature = _number(plain["temperature"], math.inf)
        errors = (_number(error["before"], 1), _number(error["after"], 1))
        return cls(temperature, errors, before, after)


@dataclass(frozen=True)
class CrossValidationFacts:
    """What `dseg fit --folds` found.

    Parameters
    ----------
    folds, seed : int
    mean_iou : float, optional
    classes : tuple of str
        The names of the classes that masks were scored by.
    calibration : CalibrationFacts
    """

    folds: int
    seed: int
    mean_iou: float | None
    classes: tuple[str, ...]
    calibration: CalibrationFacts

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Check what `CrossValidation.to_dict` gave.

        Raises
        ------
        LookupError, TypeError, ValueError
            If it is something else.
        """
        names = tuple(plain["iou"])
        if not 0 < len(names) <= MOST_CLASSES:
            raise ValueError(f"{len(names)} classes: a report takes 1 to {MOST_CLASSES}")
        scored = plain["mean_iou"]
        return cls(
            int(_number(plain["folds"], 1e9)),
            int(_number(plain["seed"], 2.0**63)),
            None if scored is None else _number(scored, 1),
            names,
            CalibrationFacts.of(plain["calibration"]),
        )


def read_facts(folder: Path) -> tuple[dict[str, Any], CrossValidationFacts]:
    """Return what a folder of held-out masks says of them, as in the file and checked.

    Raises
    ------
    InputError
        If it is no such folder, or the file is damaged.
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise InputError(
            f"'{folder}' has no '{RESULTS_FILE}': give a folder that `dseg fit --folds K "
            "--folds-out` wrote. A report is never about masks of images that the model has "
            "learnt from"
        )
    try:
        plain = read_json(path)
        return plain, CrossValidationFacts.of(plain)
    except (OSError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"'{path}' is damaged ({error!r}): run `dseg fit --folds K --folds-out` again"
        ) from error


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    if not 0 <= value <= most or math.isinf(value):
        raise ValueError(f"{value!r} is not from 0 to {most}")
    return float(value)


def _bins(plain: Any) -> tuple[tuple[float, float, float], ...]:
    if not isinstance(plain, list) or len(plain) > _MOST_BINS:
        raise ValueError("the bins of calibration are no short list")
    names = ("confidence", "accuracy", "share")
    found = [tuple(_number(one[name], 1 + 1e-6) for name in names) for one in plain]
    return tuple((min(a, 1.0), min(b, 1.0), min(c, 1.0)) for a, b, c in found)
