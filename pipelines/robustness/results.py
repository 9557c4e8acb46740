"""``robustness.json``: the finished cells of a study, and what all of them were asked.

===========  ======================================================================
key          holds
===========  ======================================================================
format       ``dseg-robustness``; ``version`` 1
question     a `Question`: cells of different questions never stand in one file
models       path and sha256 of each, in the order they came
cells        one a model, corruption and severity; ``clean`` has severity 0
===========  ======================================================================

It is written anew, whole, after each cell: so a killed run goes on with the cells that are there.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath
from statistics import fmean
from typing import Any

from ...classify.evaluation.metrics import Confusion
from ...classify.inference.mask_files import write_encoded
from ...store.errors import InputError
from .corruptions import GROUPS, group_of

__all__ = ["CLEAN", "FILE", "Cell", "Place", "Question", "Results", "short_names"]

FILE = "robustness.json"
FORMAT, VERSION = "dseg-robustness", 1
CLEAN = "clean"

Place = tuple[str, str, int]
"""The sha256 of a model, a corruption, a severity."""


@dataclass(frozen=True)
class Question:
    """What cells have in common.

    Parameters
    ----------
    data : str
        sha256 over the names and contents of images and label maps.
    images : int
        How many.
    classes : tuple of str
    ignore : int
    side : int
        Shorter side of the images that are corrupted.
    seed : int
    corrupted_by : str
        The program that corrupts, with its version.
    """

    data: str
    images: int
    classes: tuple[str, ...]
    ignore: int
    side: int
    seed: int
    corrupted_by: str

    def differences(self, other: "Question") -> str:
        """Return in words how another question differs."""
        words = {"data": "other images or label maps", "classes": "other classes"}
        mine, others = asdict(self), asdict(other)
        return "; ".join(
            words.get(key, f"{key} is {others[key]} there, {mine[key]} here")
            for key in mine
            if mine[key] != others[key] and not (key == "images" and mine["data"] != others["data"])
        )


@dataclass(frozen=True)
class Cell:
    """One model's scores under one corruption at one severity.

    Parameters
    ----------
    mean_iou, pixel_accuracy : float or None
        0 to 1; None where no class counts.
    iou : tuple of float or None
        By class id; None for classes found neither in masks nor in label maps.
    """

    mean_iou: float | None
    pixel_accuracy: float | None
    iou: tuple[float | None, ...]

    @classmethod
    def of(cls, confusion: Confusion) -> "Cell":
        """Return the scores of a confusion matrix."""
        numbers = [confusion.mean_iou(), confusion.pixel_accuracy(), *confusion.iou_per_class()]
        mean, accuracy, *iou = (None if n != n else float(n) for n in numbers)  # NaN is not itself
        return cls(mean, accuracy, tuple(iou))


class Results:
    """The cells of one folder.

    Parameters
    ----------
    folder : path
        It need not be there yet.
    question : Question

    Attributes
    ----------
    models : dict
        Path by sha256.
    cells : dict
        Cell by `Place`.
    """

    def __init__(self, folder: Path, question: Question) -> None:
        self.path, self.question = folder / FILE, question
        self.models: dict[str, str] = {}
        self.cells: dict[Place, Cell] = {}

    def take_up(self) -> None:
        """Take the cells that are there already.

        Raises
        ------
        InputError
            If the file is none of ours, or its cells were asked another question.
        """
        if not self.path.is_file():
            return
        question, models, cells = _read(self.path)
        if question != self.question:
            raise InputError(
                f"'{self.path}' contains results with other settings: "
                f"{self.question.differences(question)}. Give another --out, or use "
                "--overwrite"
            )
        self.models, self.cells = models, cells

    def enter(self, models: Iterable[tuple[str, str]]) -> None:
        """Enter models, as (sha256, path); their cells may be there already.

        Raises
        ------
        InputError
            If two are the same, or the file has cells of another model at one's path.
        """
        entered: dict[str, str] = {}
        for sha256, path in models:
            if sha256 in entered:
                raise InputError(f"--model '{entered[sha256]}' and '{path}' are the same model")
            entered[sha256] = path
        for sha256, path in self.models.items():
            if sha256 not in entered and path in entered.values():
                raise InputError(
                    f"'{self.path}' contains results of another model that was at '{path}': "
                    "give another --out, or use --overwrite"
                )
        self.models.update(entered)

    def save(self) -> None:
        """Write the file.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        write_encoded(self.path, (json.dumps(self._plain(), indent=1) + "\n").encode())

    def _plain(self) -> dict[str, Any]:
        models = [{"path": path, "sha256": sha256} for sha256, path in self.models.items()]
        return {
            "format": FORMAT,
            "version": VERSION,
            "question": asdict(self.question),
            "models": models,
            "cells": [
                {
                    "model": self.models[sha256],
                    "corruption": corruption,
                    "group": CLEAN if corruption == CLEAN else group_of(corruption),
                    "severity": severity,
                    "mean_iou": cell.mean_iou,
                    "pixel_accuracy": cell.pixel_accuracy,
                    "iou": dict(zip(self.question.classes, cell.iou, strict=True)),
                }
                for (sha256, corruption, severity), cell in self.cells.items()
            ],
        }

    # ---- what the cells amount to ----

    @property
    def corruptions(self) -> list[str]:
        """Those of which there are cells, in the order of their groups."""
        there = {corruption for _, corruption, _ in self.cells}
        return [name for names in GROUPS.values() for name in names if name in there]

    @property
    def severities(self) -> list[int]:
        """Those of which there are cells, without the clean images' 0."""
        return sorted({severity for _, _, severity in self.cells if severity})

    def mean_iou(self, model: str, corruption: str, severity: int) -> float | None:
        """Return the mIoU of a cell; severity 0 is the clean images, whatever the corruption."""
        cell = self.cells.get((model, corruption if severity else CLEAN, severity))
        return None if cell is None else cell.mean_iou

    def shared(self) -> list[str]:
        """Return the corruptions that have a score of every model at every severity."""
        return [
            name
            for name in self.corruptions
            if all(
                self.mean_iou(model, name, severity) is not None
                for model in self.models
                for severity in self.severities
            )
        ]

    def averaged(self, model: str, severities: Sequence[int]) -> float | None:
        """Return the mean of mIoU over the shared corruptions and some severities."""
        values = [self.mean_iou(model, name, s) for name in self.shared() for s in severities]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the last parts of each path, as many as tell all apart.

    Examples
    --------
    >>> short_names(["runs/a/model", "runs/b/model"]), short_names(["/tmp/model"])
    (['a/model', 'b/model'], ['model'])
    """
    parts = [PurePath(path).parts for path in paths]
    for n in range(1, max(map(len, parts), default=0)):
        names = ["/".join(part[-n:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)


def _read(path: Path) -> tuple[Question, dict[str, str], dict[Place, Cell]]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if (plain["format"], plain["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {plain['format']} {plain['version']}")
        told = {field.name: plain["question"][field.name] for field in fields(Question)}
        question = Question(**{**told, "classes": tuple(told["classes"])})
        models = {model["sha256"]: model["path"] for model in plain["models"]}
        sha256 = {where: key for key, where in models.items()}
        cells = {
            (sha256[cell["model"]], cell["corruption"], cell["severity"]): Cell(
                cell["mean_iou"],
                cell["pixel_accuracy"],
                tuple(cell["iou"][name] for name in question.classes),
            )
            for cell in plain["cells"]
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"'{path}' was not written by this version of `dseg robustness`: give another "
            "--out, or use --overwrite"
        ) from error
    return question, models, cells
