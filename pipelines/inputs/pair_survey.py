"""Masks and the label maps they are scored by: read, and surveyed as they are read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...classify.labels.checks import check_ids, check_label_maps, check_masks
from ...classify.labels.classes import Classes
from ...classify.labels.label_maps import read_label_file
from ...classify.labels.survey import LabelSurvey
from ..console.progress import Progress

__all__ = ["PairSurvey"]

Map = NDArray[np.integer]


class PairSurvey:
    """Sees that the ids of masks and label maps may be scored.

    Parameters
    ----------
    masks, labels : path
        The folders.
    ignore : int
        Id of the label maps' pixels without a class.
    classes : Classes, optional
        None where no file names them.
    paper : bool
        Ids that are no class are let pass, as published.
    ours : bool
        `dseg predict` wrote the masks: nothing but their ids needs a look.
    """

    def __init__(
        self,
        masks: Path,
        labels: Path,
        ignore: int,
        classes: Classes | None,
        *,
        paper: bool,
        ours: bool,
    ) -> None:
        self._masks = LabelSurvey(f"the masks in '{masks}'", ignore)
        self._labels = LabelSurvey(f"the label maps in '{labels}'", ignore)
        self._ignore, self._classes, self._paper, self._ours = ignore, classes, paper, ours
        self._checked = False

    def read(self, mask: Path, label: Path) -> tuple[Map, Map]:
        """Read a mask and its label map, and take them into the survey unless it is done.

        Raises
        ------
        InputError
            If one cannot be read, or has an id that is no class.
        """
        return self._read(mask, self._masks, "mask"), self._read(label, self._labels, "label map")

    def _read(self, path: Path, survey: LabelSurvey, what: str) -> Map:
        label, palette = read_label_file(path)
        if not self._checked:
            ours = self._ours and survey is self._masks
            seen = survey.add(path, label, None if ours else palette, borders=not ours)
            if not self._paper:
                check_ids(label, seen.pixels, self._ignore, self._classes, f"{what} '{path.name}'")
        return label

    def check(self, progress: Progress) -> None:
        """Judge what was read, once.

        Raises
        ------
        InputError
            If ids are hardly classes.
        """
        if self._checked:
            return
        self._checked = True
        notes = check_label_maps(self._labels, self._classes)
        for note in notes + check_masks(self._masks, self._labels, self._classes):
            progress.warn(note)

    def read_all(self, pairs: Sequence[tuple[Path, Path]], progress: Progress) -> int:
        """Read all, judge them, and return how many classes there are if no file names them."""
        for mask, label in pairs:
            self.read(mask, label)
        self.check(progress)
        return max(self._masks.highest, self._labels.highest) + 1
