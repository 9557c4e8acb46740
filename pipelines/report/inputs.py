"""What a report is made of, opened: the model, held-out masks, label maps, images, predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...classify.ensemble.model_files import MODEL_FOLDER
from ...classify.labels.classes import default_colour
from ...distil.student.files import STUDENT_FOLDER
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import InputError
from ...store.spec import FeatureSpec
from ...store.urls.location import Location
from ..console.progress import Progress
from ..features.sources import reading_of
from ..masks.segmenter import load_model
from ..masks.training_set import FOLDS_OUT
from .config import ReportConfig
from .findings.candidates import Predicted, open_predicted
from .findings.held_out import HeldOutMasks, open_held_out
from .findings.pictures import Pictures
from .page.look import Look

__all__ = ["Inputs", "open_inputs"]


@dataclass(frozen=True)
class Inputs:
    """What a report is made of.

    Parameters
    ----------
    config : ReportConfig
    facts : mapping
        Of ``model.json``.
    spec : FeatureSpec, optional
    members : int
    ignore : int
        The label maps' id of pixels without a class.
    look : Look
    pictures : Pictures
    held_out : HeldOutMasks, optional
    labels : path, optional
        Their label maps.
    predicted : Predicted, optional
    """

    config: ReportConfig
    facts: Mapping[str, Any]
    spec: FeatureSpec | None
    members: int
    ignore: int
    look: Look
    pictures: Pictures
    held_out: HeldOutMasks | None
    labels: Location | None
    predicted: Predicted | None

    @property
    def fit_words(self) -> list[str]:
        """What to type, after "dseg", for the held-out masks."""
        extra = self.facts["extra"]
        recorded = extra.get("stores", [extra.get("store")])
        stores = [one for one in _listed(recorded) if isinstance(one, str)] or ["feats.zarr"]
        labels = str(self.labels or extra.get("labels", "labels/"))
        more = ["--folds", "5", "--folds-out", "held-out/", "--overwrite"]
        return ["fit", *stores, labels, "--out", str(self.config.model), *more]

    @property
    def given(self) -> dict[str, str]:
        """What the report was made of, for the page."""
        rows = {"model": self.config.model, "label maps": self.labels}
        rows |= {"images": self.config.images, "predicted masks": self.config.masks}
        found = {what: "not given" if path is None else str(path) for what, path in rows.items()}
        if self.held_out is not None:
            facts = self.held_out.facts
            words = f"{self.held_out.folder}: {facts.folds} folds, seed {facts.seed}"
            return {"held-out masks": words, **found}
        return found


def open_inputs(config: ReportConfig, progress: Progress) -> Inputs:
    """Open what a report is made of.

    Raises
    ------
    InputError
        If it is damaged, or of another model.
    """
    if STUDENT_FOLDER.is_at(config.model):
        raise InputError(
            f"'{config.model}' is a student: give the model of `dseg fit`, which has held-out masks"
        )
    facts = MODEL_FOLDER.facts(config.model)
    model = load_model(config.model, torch.device("cpu"))
    extra = model.extra_
    if not isinstance(extra, dict):
        raise MODEL_FOLDER.damaged(config.model, "what `dseg fit` recorded is not an object")
    held_out, labels = _held_out(config, extra, progress)
    names = model.class_info_.names if held_out is None else held_out.facts.classes
    own = model.class_info_.colours[: len(names)]
    colours = [*own, *(default_colour(k) for k in range(len(own), len(names)))]
    pictures = Pictures.of(config.images, _reading(model.spec_), colours)
    masks = config.masks
    predicted = None if masks is None else open_predicted(masks, config.model, extra)
    return Inputs(
        config,
        {**facts, "extra": extra},
        model.spec_,
        model.n_members,
        _ignore(extra),
        Look(names, pictures.shown),
        pictures,
        held_out,
        labels,
        predicted,
    )


def _held_out(
    config: ReportConfig, extra: Mapping[str, Any], progress: Progress
) -> tuple[HeldOutMasks | None, Location | None]:
    """Open the held-out masks that are given, or else those that the model recorded."""
    folder = config.folds_out or _recorded(extra, FOLDS_OUT)
    labels = config.labels or _recorded(extra, "labels")
    if folder is None:
        return None, labels
    try:
        if labels is None:
            raise InputError(
                "the label maps that the model was fitted on are not found (recorded: "
                f"'{extra.get('labels')}'): give their folder with --labels"
            )
        ignore = _ignore(extra)
        return open_held_out(folder, labels, extra.get("cross_validation"), ignore), labels
    except InputError as error:
        if config.folds_out is not None:
            raise
        progress.warn(f"the held-out masks that the model recorded are not used: {error}")
        return None, labels


def _ignore(extra: Mapping[str, Any]) -> int:
    ignore = extra.get("ignore_label", 255)
    return ignore if isinstance(ignore, int) else 255


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _recorded(extra: Mapping[str, Any], key: str) -> Path | None:
    """Return a path of this machine that a model recorded; None if it is not there any more.

    URLs are left alone: nothing is downloaded because a model names it.
    """
    text = extra.get(key)
    return Path(text) if isinstance(text, str) and Path(text).exists() else None


def _reading(spec: FeatureSpec | None) -> ReadingSpec:
    try:
        return ReadingSpec() if spec is None else reading_of(spec)
    except InputError:  # of stores whose images were read differently: pictures may be dark
        return ReadingSpec()
