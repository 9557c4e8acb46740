"""``robustness.json``: the finished cells of a study, and the settings of all of them.

===========  ======================================================================
key          holds
===========  ======================================================================
format       ``dseg-robustness``; ``version`` 1
question     the `StudySettings`; cells of other settings are never in the same file
models       path and sha256 of each, in the order they came
cells        one a model, corruption and severity; ``clean`` has severity 0
===========  ======================================================================
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from statistics import fmean
from typing import Any

from ...store.errors import InputError
from ..console.result_file import ResultFile
from .corruptions import GROUPS, group_of

__all__ = [
    "CLEAN",
    "Cell",
    "CellKey",
    "Results",
    "StudySettings",
    "mean_of_all",
    "short_names",
]

CLEAN = "clean"
_WORDS = {"data": "images or label maps", "classes": "the classes"}

CellKey = tuple[str, str, int]
"""The sha256 of a model, a corruption, a severity."""


@dataclass(frozen=True)
class StudySettings:
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


Cell = dict[str, Any]
"""One model's scores under one corruption at one severity, see `Confusion.scores`."""


class Results:
    """The cells of one folder.

    Parameters
    ----------
    folder : path
        It need not be there yet.
    settings : StudySettings
    overwrite : bool
        Begin anew, in place of results of other images or settings.

    Attributes
    ----------
    models : dict
        Path by sha256.
    cells : dict
        Cell by `CellKey`.

    Raises
    ------
    InputError
        If the folder holds other things, or cells of other settings that may not be replaced.
    """

    def __init__(self, folder: Path, settings: StudySettings, overwrite: bool = False) -> None:
        self.settings, self.file = settings, ResultFile(folder, "robustness")
        self.models: dict[str, str] = {}
        self.cells: dict[CellKey, Cell] = {}
        stored = self.file.read(self._take, overwrite)
        if stored is not None:
            own = asdict(settings) | {"classes": list(settings.classes)}
            self.file.refuse_others(stored, own, _WORDS)

    def _take(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Take the cells that are there already; return their settings."""
        settings: dict[str, Any] = facts["question"]
        self.models = {model["sha256"]: model["path"] for model in facts["models"]}
        sha256 = {path: key for key, path in self.models.items()}
        for cell in facts["cells"]:
            scores = {name: cell[name] for name in ("mean_iou", "pixel_accuracy", "iou")}
            scores["iou"] = {name: scores["iou"][name] for name in settings["classes"]}
            self.cells[sha256[cell["model"]], cell["corruption"], cell["severity"]] = scores
        return {key: settings[key] for key in asdict(self.settings)}

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
                    f"'{self.file.path}' contains results of another model that was at '{path}': "
                    "give another --out, or --overwrite"
                )
        self.models.update(entered)

    def save(self) -> None:
        """Write the file.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        models = [{"path": path, "sha256": sha256} for sha256, path in self.models.items()]
        cells = [
            {
                "model": self.models[sha256],
                "corruption": corruption,
                "group": CLEAN if corruption == CLEAN else group_of(corruption),
                "severity": severity,
                **cell,
            }
            for (sha256, corruption, severity), cell in self.cells.items()
        ]
        self.file.write({"question": asdict(self.settings), "models": models, "cells": cells})

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
        return None if cell is None else cell["mean_iou"]

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
        return mean_of_all(
            [self.mean_iou(model, name, s) for name in self.shared() for s in severities]
        )


def mean_of_all(scores: Sequence[float | None]) -> float | None:
    """Return the mean of some scores; None if there are none or one of them is None.

    Examples
    --------
    >>> mean_of_all([0.25, 0.75]), mean_of_all([0.25, None]), mean_of_all([])
    (0.5, None, None)
    """
    known = [score for score in scores if score is not None]
    return fmean(known) if known and len(known) == len(scores) else None


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
