"""``dseg evaluate``: how well masks agree with label maps."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...classify.evaluation.metrics import Confusion
from ...classify.label_sets.class_table import ClassTable
from ...classify.label_sets.files import find_label_files
from ...classify.label_sets.label_set import LabelOptions, LabelSet
from ...classify.label_sets.opening import open_label_set
from ...classify.labels.checks import check_ids, check_label_maps, check_masks
from ...classify.labels.classes import Classes
from ...classify.labels.label_entry import PLAIN, LabelEntry
from ...classify.labels.survey import LabelSurvey
from ...store.errors import InputError
from ...store.geometry import resize_nearest
from ...store.urls.location import Location
from ..console.progress import Progress
from ..inputs.image_list import read_list
from ..inputs.labelled_pixels import (
    MAX_UNNAMED_CLASSES,
    images_among_labels,
    match_labels,
    unnamed_classes,
)
from ..masks.open_manifest import open_manifest
from ..masks.training_set import LEARNT_KEY
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
    records = open_manifest(config.masks).records
    masks = _masks(config.masks, records)
    if config.labels.is_dir() and open_manifest(config.labels).records:
        progress.warn(
            f"'{config.labels}' was written by `dseg predict`: give the folder of masks "
            "first, then the folder of label maps"
        )
    wanted = None if config.list_file is None else read_list(config.list_file)
    predicted = ((record["image"], record["sha256"]) for record in records.values())
    images = images_among_labels(config.labels, predicted)
    what = f"masks in '{config.masks}'"
    options = LabelOptions(config.ignore)
    found = match_labels(masks, config.labels, wanted, what, images, progress, options)
    labels, named, ignore = found.entries, found.classes, found.ignore
    if not records:
        masks = _opened(config, labels, found.table, progress).entries
    mask_survey = LabelSurvey(f"the {what}", ignore)
    label_survey = LabelSurvey(found.where, ignore)
    n_classes = MAX_UNNAMED_CLASSES if named is None else len(named)
    confusion, others = (Confusion(n_classes, ignore, paper=config.paper) for _ in "ab")
    learnt = _learnt(labels, records)
    with progress.bar("evaluate", len(labels), "images") as advance:
        for stem, entry in labels.items():
            mask = _read(masks[stem], mask_survey, named, config, ours=bool(records))
            label = _read(entry.shown_as(_size(mask)), label_survey, named, config)
            label = _at_size_of(mask, label, stem, config.paper)
            ids = mask_survey.maps[-1].pixels.keys() | label_survey.maps[-1].pixels.keys()
            if named is None and max(ids, default=0) >= n_classes:
                continue  # such ids are refused below, when it is known what they look like
            confusion.add(mask, label, stem)
            if learnt.get(stem) is False:
                others.add(mask, label, stem)
            advance(1)
    for note in check_label_maps(label_survey, named) + check_masks(
        mask_survey, label_survey, named
    ):
        progress.warn(note)
    highest = max(mask_survey.highest, label_survey.highest)
    classes = named or unnamed_classes(highest + 1, "masks and label maps")
    confusion, others = confusion.truncate(len(classes)), others.truncate(len(classes))
    if np.isnan(confusion.pixel_accuracy()):
        raise InputError(
            "at the masks' size, to which --paper resizes the label maps, no labelled pixel "
            f"of '{config.labels}' remains: score masks of `predict` without --paper"
        )
    return _with_others(_summary(confusion, classes, len(labels)), learnt, others)


def _learnt(scored: Iterable[str], records: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Return of each scored image whether the masks' model has learnt from it, if that is known."""
    recorded = {stem: records.get(stem, {}).get(LEARNT_KEY) for stem in scored}
    return {
        stem: learnt_flag for stem, learnt_flag in recorded.items() if isinstance(learnt_flag, bool)
    }


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
    mean, accuracy = (None if value is None or np.isnan(value) else value for value in scores)
    return replace(summary, others=UnseenScores(len(learnt) - count, mean, accuracy))


def _masks(folder: Location, records: Mapping[str, Mapping[str, Any]]) -> Mapping[str, LabelEntry]:
    """Return the masks of a folder by stem: the manifest's, else all that may be masks."""
    files = {stem: folder / record["mask"] for stem, record in records.items()}
    found: Mapping[str, Location] = {stem: path for stem, path in files.items() if path.is_file()}
    found = found or find_label_files(folder, what="mask").files
    if not found:
        raise InputError(f"no masks in '{folder}'")
    return {stem: LabelEntry(stem, path, PLAIN, "mask") for stem, path in found.items()}


def _opened(
    config: EvaluateConfig, labels: Collection[str], table: ClassTable | None, progress: Progress
) -> LabelSet:
    """Return masks that others wrote, in whatever form: colours and ids are as in label maps."""
    options = LabelOptions(config.ignore, what="mask", complete=False)
    masks = open_label_set(config.masks, labels, options=options, table=table)
    if masks.described:
        progress.say(f"'{config.masks}': {masks.described}")
    for note in masks.notes:
        progress.warn(note)
    return masks


def _size(mask: NDArray[Any]) -> tuple[int, int]:
    return mask.shape[0], mask.shape[1]


def _read(
    entry: LabelEntry,
    survey: LabelSurvey,
    classes: Classes | None,
    config: EvaluateConfig,
    *,
    ours: bool = False,
) -> NDArray[np.integer[Any]]:
    """Read a mask or label map and take it into the survey; of masks that we wrote, ids alone."""
    label, palette = entry.read_with_palette()
    found = survey.add(entry, label, None if ours else palette, borders=not ours)
    if not config.paper:  # as published, ids that are no class are let pass
        what = f"{entry.what} '{entry.name}'"
        check_ids(label, found.pixels, survey.ignore, classes, what)
    return label


def _at_size_of(
    mask: NDArray[Any], label: NDArray[Any], stem: str, paper: bool
) -> NDArray[np.integer[Any]]:
    if mask.shape == label.shape:
        return label
    if not paper:
        raise InputError(
            f"the mask of '{stem}' is {mask.shape[1]}×{mask.shape[0]} but its label map is "
            f"{label.shape[1]}×{label.shape[0]}. If the masks come from `predict --paper`, "
            "they have the network's size: score them with --paper"
        )
    return resize_nearest(label, _size(mask))


def _summary(confusion: Confusion, classes: Classes, images: int) -> EvaluateSummary:
    iou = [None if np.isnan(value) else float(value) for value in confusion.iou_per_class()]
    return EvaluateSummary(
        images=images,
        mean_iou=confusion.mean_iou(),
        pixel_accuracy=confusion.pixel_accuracy(),
        iou=dict(zip(classes.names, iou, strict=True)),
    )
