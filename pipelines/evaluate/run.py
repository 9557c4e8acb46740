"""``dseg evaluate``: how well masks agree with label maps."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...classify.evaluation.metrics import Confusion
from ...classify.labels.classes import Classes, load_classes
from ...classify.labels.label_maps import find_labels
from ...store.errors import InputError
from ...store.geometry import nearest_index
from ..console.progress import Progress
from ..inputs.image_list import read_list
from ..inputs.labelled_pixels import match_labels, same_files, unnamed_classes
from ..inputs.pair_survey import PairSurvey
from ..masks.images_learnt import LEARNT
from ..masks.manifest import Manifest
from .config import EvaluateConfig, EvaluateSummary, UnseenScores

__all__ = ["evaluate"]


def evaluate(config: EvaluateConfig, progress: Progress | None = None) -> EvaluateSummary:
    """Score masks against label maps.

    Raises
    ------
    InputError
        If a label map has no mask, sizes differ, or ids are no classes.
    """
    progress = progress or Progress()
    records = Manifest(config.masks).records
    masks = _masks(config.masks, records)
    if Manifest(config.labels).records:
        progress.warn(
            f"'{config.labels}' was written by `dseg predict`: first come the masks, then the "
            "label maps"
        )
    wanted = None if config.list_file is None else read_list(config.list_file)
    predicted = ((record["image"], record["sha256"]) for record in records.values())
    images = same_files(config.labels, predicted)
    what = f"masks in '{config.masks}'"
    labels = match_labels(masks, config.labels, wanted, what, images, progress)
    named = load_classes(config.labels, progress.say)
    every = [(masks[stem], labels[stem]) for stem in labels]
    survey = PairSurvey(
        config.masks, config.labels, config.ignore, named, paper=config.paper, ours=bool(records)
    )
    classes = named or unnamed_classes(survey.read_all(every, progress), "masks and label maps")
    confusion, others = (Confusion(len(classes), config.ignore, paper=config.paper) for _ in "ab")
    learnt, labelled = _learnt(labels, records), False
    with progress.bar("evaluate", len(labels), "images") as advance:
        for stem, (mask_file, label_file) in zip(labels, every, strict=True):
            mask, label = survey.read(mask_file, label_file)
            labelled = labelled or bool((label != config.ignore).any())
            label = _at_size_of(mask, label, stem, config.paper)
            confusion.add(mask, label, stem)
            if learnt.get(stem) is False:
                others.add(mask, label, stem)
            advance(1)
    survey.check(progress)
    if np.isnan(confusion.pixel_accuracy()) and labelled:
        raise InputError(
            f"no labelled pixel of the label maps in '{config.labels}' is left at the masks' size, "
            "to which --paper brings them: score masks of `predict` without --paper"
        )
    if np.isnan(confusion.pixel_accuracy()):
        raise InputError(
            f"no pixel of the label maps in '{config.labels}' has a class: all are "
            f"{config.ignore}, the ignore label. Is another id to be ignored (--ignore)?"
        )
    return _with_others(_summary(confusion, classes, len(labels)), learnt, others)


def _learnt(scored: Iterable[str], records: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Return of each scored image whether the masks' model has learnt from it, if that is known."""
    told = {stem: records.get(stem, {}).get(LEARNT) for stem in scored}
    return {stem: one for stem, one in told.items() if isinstance(one, bool)}


def _with_others(
    summary: EvaluateSummary, learnt: Mapping[str, bool], others: Confusion
) -> EvaluateSummary:
    if not learnt:
        return summary
    count = sum(learnt.values())
    summary = replace(summary, learnt_from=count)
    if count == 0:
        return summary
    scores = (others.mean_iou(), others.pixel_accuracy()) if others.counts.any() else (None, None)
    mean, accuracy = (None if one is None or np.isnan(one) else one for one in scores)
    return replace(summary, others=UnseenScores(len(learnt) - count, mean, accuracy))


def _masks(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """Return the masks of a folder by stem: the manifest's, else all that may be masks."""
    masks = {stem: folder / record["mask"] for stem, record in records.items()}
    found = {stem: path for stem, path in masks.items() if path.is_file()} or find_labels(folder)
    if not found:
        raise InputError(f"no masks in '{folder}'")
    return found


def _at_size_of(
    mask: NDArray[Any], label: NDArray[Any], stem: str, paper: bool
) -> NDArray[np.integer[Any]]:
    if mask.shape == label.shape:
        return label
    if not paper:
        raise InputError(
            f"the mask of '{stem}' is {mask.shape[1]}×{mask.shape[0]} but its label map is "
            f"{label.shape[1]}×{label.shape[0]}. Masks of `predict --paper` have the network's "
            "size: score them with --paper"
        )
    y, x = (nearest_index(*pair) for pair in zip(label.shape, mask.shape, strict=True))
    resized: NDArray[np.integer[Any]] = label[y[:, None], x]
    return resized


def _summary(confusion: Confusion, classes: Classes, images: int) -> EvaluateSummary:
    iou = [None if np.isnan(value) else float(value) for value in confusion.iou_per_class()]
    return EvaluateSummary(
        images=images,
        mean_iou=confusion.mean_iou(),
        pixel_accuracy=confusion.pixel_accuracy(),
        iou=dict(zip(classes.names, iou, strict=True)),
    )
