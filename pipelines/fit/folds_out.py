"""The folder of ``--folds-out``: out-of-fold masks as `dseg predict` writes masks, and figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...store.atomic_folder import is_free, whole_folder
from ...store.errors import InputError
from ..console.figures import draw_reliability
from ..inputs.labelled_pixels import Labelled
from ..masks.images_learnt import LEARNT
from ..masks.manifest import FILE
from ..masks.mask_folder import Asked, MaskFiles, refuse_other_uses
from ..training.holdout import HeldOutImage

__all__ = ["FoldsOut", "check_folds_out"]

FACTS = "cross_validation.json"
_FIGURES = "reliability"


def check_folds_out(out: Path, overwrite: bool, stems: Sequence[str]) -> None:
    """Refuse a folder in which something else stands, or masks that may not be replaced."""
    refuse_other_uses(out)
    inside = [stem for stem in stems if stem.startswith(f"{_FIGURES}/")]
    if inside:
        raise InputError(
            f"'{out}/{_FIGURES}' would hold both the mask of '{inside[0]}' and figures: rename "
            "that sub-folder of the images, or do without --folds-out"
        )
    if is_free(out):
        return
    if not (out / FACTS).is_file() or not (out / FILE).is_file():
        raise InputError(
            f"'{out}' exists and holds no out-of-fold masks: it is not replaced. Give another "
            "--folds-out"
        )
    if not overwrite:
        raise InputError(
            f"'{out}' holds out-of-fold masks already: give another --folds-out, or replace them "
            "(--overwrite)"
        )


class FoldsOut:
    """Writes each held-out image; the folder gets its name when all are there.

    Made by `writing`.
    """

    def __init__(self, out: Path, labelled: Labelled, members: int, recipe: str) -> None:
        self._out = out
        asked = Asked(uncertainty=members > 1)
        self._files = MaskFiles(out, asked, labelled.classes, members, recipe)
        self._files.check_apart(labelled.images)

    @classmethod
    @contextmanager
    def writing(
        cls, target: Path, labelled: Labelled, members: int, recipe: str
    ) -> Iterator["FoldsOut"]:
        """Yield one that writes beside the folder; move it there in the end, if no error comes."""
        with whole_folder(target) as made:
            yield cls(made, labelled, members, recipe)

    def __call__(self, seen: HeldOutImage, fold: int) -> None:
        """Write an image's mask, and what stands beside it."""
        image = seen.image
        prepared = self._files.prepare(image.stem, image.name, image.sha256, seen.prediction)
        told = {"fold": fold, LEARNT: False}
        self._files.finish(replace(prepared, record={**prepared.record, **told}))

    def close(self, facts: Mapping[str, Any]) -> None:
        """Write what was found, and the figures."""
        text = json.dumps(facts, indent=1, allow_nan=False) + "\n"
        (self._out / FACTS).write_text(text, encoding="utf-8")
        figures = self._out / _FIGURES
        figures.mkdir()
        draw_reliability(facts["calibration"], figures)
