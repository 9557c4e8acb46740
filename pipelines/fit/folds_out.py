"""The folder of ``--folds-out``: out-of-fold masks as `dseg predict` writes masks, and figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...store.atomic_folder import atomic_folder, is_free
from ...store.errors import InputError
from ..console.figures import draw_reliability
from ..inputs.labelled_pixels import Labelled
from ..masks.manifest import FILE
from ..masks.mask_folder import MaskFolder, MaskOptions, refuse_model_or_store
from ..masks.training_set import LEARNT_KEY
from ..training.cross_validation import RESULTS_FILE
from ..training.holdout import HeldOutImage

__all__ = ["FoldsOut", "check_folds_out"]

_FIGURES = "reliability"


def check_folds_out(out: Path, overwrite: bool, stems: Sequence[str]) -> None:
    """Refuse a folder in which something else stands, or masks that may not be replaced."""
    refuse_model_or_store(out)
    colliding = [stem for stem in stems if stem.startswith(f"{_FIGURES}/")]
    if colliding:
        raise InputError(
            f"'{out}/{_FIGURES}' would contain both the mask of '{colliding[0]}' and figures: "
            "rename that sub-folder of the images, or leave out --folds-out"
        )
    if is_free(out):
        return
    if not (out / RESULTS_FILE).is_file() or not (out / FILE).is_file():
        raise InputError(
            f"'{out}' exists and does not contain held-out masks, so it is not replaced: "
            "give another --folds-out"
        )
    if not overwrite:
        raise InputError(
            f"'{out}' contains held-out masks already: give another --folds-out, or replace "
            "them (--overwrite)"
        )


class FoldsOut:
    """Writes each held-out image; the folder gets its name when all are there.

    Made by `writing`.
    """

    def __init__(self, out: Path, labelled: Labelled, members: int, masks_key: str) -> None:
        self._out = out
        options = MaskOptions(uncertainty=members > 1)
        self._files = MaskFolder(out, options, labelled.classes, members, masks_key)
        self._files.check_distinct_paths(labelled.images)

    @classmethod
    @contextmanager
    def writing(
        cls, target: Path, labelled: Labelled, members: int, masks_key: str
    ) -> Iterator["FoldsOut"]:
        """Yield one that writes beside the folder; move it there in the end, if no error comes."""
        with atomic_folder(target) as folder:
            yield cls(folder, labelled, members, masks_key)

    def __call__(self, seen: HeldOutImage, fold: int) -> None:
        """Write an image's mask, and what stands beside it."""
        image = seen.image
        staged = self._files.stage(image.stem, image.name, image.sha256, seen.prediction)
        more = {"fold": fold, LEARNT_KEY: False}
        self._files.commit(replace(staged, record={**staged.record, **more}))

    def close(self, facts: Mapping[str, Any]) -> None:
        """Write what was found, and the figures."""
        text = json.dumps(facts, indent=1, allow_nan=False) + "\n"
        (self._out / RESULTS_FILE).write_text(text, encoding="utf-8")
        figures = self._out / _FIGURES
        figures.mkdir()
        draw_reliability(facts["calibration"], figures)
