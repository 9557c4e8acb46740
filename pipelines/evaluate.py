"""``dseg evaluate``: how well masks agree with label maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classify.classes import Classes, load_classes
from ..classify.labels import find_labels, largest_id, read_label_map
from ..classify.metrics import Confusion
from ..store.errors import InputError
from ..store.geometry import nearest_index
from .labelled import match_labels, same_files, unnamed_classes
from .manifest import Manifest
from .progress import Progress
from .selection import read_list

__all__ = ["EvaluateConfig", "EvaluateSummary", "evaluate"]


@dataclass(frozen=True)
class EvaluateConfig:
    """One run of ``dseg evaluate``.

    Parameters
    ----------
    masks, labels : path
        Folders of index PNGs (or what else a label map may be), matched by stem.
    list_file : path, optional
        Stems to score.
    ignore : int
        Id of the label maps' pixels without a class.
    paper : bool
        Count as published: absent classes as 0, unlabelled pixels in the unions, label maps brought
        to the masks' size.
    """

    masks: Path
    labels: Path
    list_file: Path | None = None
    ignore: int = 255
    paper: bool = False


@dataclass(frozen=True)
class EvaluateSummary:
    """The scores.

    Parameters
    ----------
    images : int
    mean_iou, pixel_accuracy : float
        0 to 1.
    iou : dict
        IoU of each class by name; None for classes that are not counted.
    """

    images: int
    mean_iou: float
    pixel_accuracy: float
    iou: dict[str, float | None]


def evaluate(config: EvaluateConfig, progress: Progress | None = None) -> EvaluateSummary:
    """Score masks against label maps.

    Raises
    ------
    InputError
        If a label map has no mask, sizes differ, or an id is no class.
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
    classes = load_classes(config.labels) or _unnamed(masks, labels, config.ignore)
    confusion = Confusion(len(classes), config.ignore, paper=config.paper)
    with progress.bar("evaluate", len(labels), "images") as advance:
        for stem, path in labels.items():
            mask, label = read_label_map(masks[stem]), read_label_map(path)
            confusion.add(mask, _at_size_of(mask, label, stem, config.paper), stem)
            advance(1)
    if np.isnan(confusion.pixel_accuracy()):
        raise InputError(
            f"no pixel of the label maps in '{config.labels}' has a class: all are "
            f"{config.ignore}, the ignore label. Is another id to be ignored (--ignore)?"
        )
    return _summary(confusion, classes, len(labels))


def _masks(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """Return the masks of a folder by stem: the manifest's, else all that may be masks."""
    masks = {stem: folder / record["mask"] for stem, record in records.items()}
    found = {stem: path for stem, path in masks.items() if path.is_file()} or find_labels(folder)
    if not found:
        raise InputError(f"no masks in '{folder}'")
    return found


def _unnamed(masks: Mapping[str, Path], labels: Mapping[str, Path], ignore: int) -> Classes:
    highest = [
        max(largest_id(read_label_map(path), ignore), largest_id(read_label_map(masks[stem]), -1))
        for stem, path in labels.items()
    ]
    return unnamed_classes(max(highest) + 1, "masks and label maps")


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
