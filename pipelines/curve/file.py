"""``curve.json``: the finished trainings of a learning curve, and what they depend on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..console.result_file import ResultFile
from .plan import Draw

__all__ = ["CurveFile"]

_WORDS = {
    "features": "the features",
    "images_and_labels": "images or labels",
    "classes": "the classes",
    "test": "--test-list",
}


class CurveFile:
    """The cells of a curve, each on disk as soon as it is added.

    Parameters
    ----------
    folder : path
        Made when the first cell is added.
    identity : mapping
        What all cells have in common, as plain JSON values.
    overwrite : bool
        Begin anew, in place of a curve of other images, labels or settings.

    Raises
    ------
    InputError
        If the folder holds something else, or such a curve that may not be replaced.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], overwrite: bool) -> None:
        self._file, self._identity = ResultFile(folder, "curve"), dict(identity)
        found = self._file.read(_parsed, overwrite)
        self._cells: dict[tuple[int, int], dict[str, Any]] = {}
        if found is not None:
            stored, self._cells = found
            self._file.refuse_others(stored, identity, _WORDS)

    def has(self, draw: int, images: int) -> bool:
        """Say whether a cell is finished."""
        return (draw, images) in self._cells

    def add(self, cell: dict[str, Any]) -> None:
        """Add a cell, and write all."""
        self._cells[cell["draw"], cell["images"]] = cell
        cells = [self._cells[key] for key in sorted(self._cells)]
        self._file.write({"identity": self._identity, "cells": cells})

    def cells_of(self, draws: Sequence[Draw]) -> list[dict[str, Any]]:
        """Return the cells of those numbers of images that all these draws have finished."""
        counts = sorted({images for _, images in self._cells})
        whole = [n for n in counts if all(self.has(draw.number, n) for draw in draws)]
        return [self._cells[draw.number, n] for draw in draws for n in whole]


def _parsed(facts: dict[str, Any]) -> tuple[dict[str, Any], dict[tuple[int, int], dict[str, Any]]]:
    for cell in facts["cells"]:
        _ = cell["mean_iou"]
    cells = {(cell["draw"], cell["images"]): cell for cell in facts["cells"]}
    return dict(facts["identity"]), cells
