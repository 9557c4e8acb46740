"""How good masks are, and whether their uncertainty tells where they are wrong."""

from pathlib import Path
from typing import Any

import numpy as np
from dseg.classify.inference.mask_files import read_mask
from dseg.classify.labels.label_maps import read_label_map
from dseg.pipelines.evaluate.config import EvaluateConfig
from dseg.pipelines.evaluate.run import evaluate
from dseg.store.errors import InputError
from numpy.typing import NDArray

from .layout import DataSet, write_list

__all__ = ["IGNORE", "roc_auc", "score"]

IGNORE = 255


def score(masks: Path, data: DataSet) -> dict[str, Any]:
    """Score the test images' masks, all methods alike.

    Parameters
    ----------
    masks : path
        What ``dseg predict --uncertainty`` writes, or the like: ``<stem>.png`` of each image's own
        size, ``uncertainty/<stem>.npy``.
    data : DataSet

    Returns
    -------
    dict
        ``mean_iou``, ``pixel_accuracy``, ``iou`` by class, as ``dseg evaluate`` counts them, and
        ``auc``: how probable it is that a wrong pixel is more uncertain than a right one. None
        where no pixel is wrong or none right.
    """
    stems = write_list(masks / "scored.txt", data.test)
    summary = evaluate(EvaluateConfig(masks, data.labels, stems))
    wrong, uncertainty = [], []
    for stem in data.test:
        label = read_label_map(data.label_paths[stem])
        known = label != IGNORE
        wrong.append((read_mask(masks / f"{stem}.png") != label)[known])
        uncertainty.append(np.load(masks / "uncertainty" / f"{stem}.npy")[known])
    return {
        "mean_iou": summary.mean_iou,
        "pixel_accuracy": summary.pixel_accuracy,
        "iou": summary.iou,
        "auc": roc_auc(np.concatenate(wrong), np.concatenate(uncertainty)),
    }


def roc_auc(positive: NDArray[np.bool_], values: NDArray[np.floating[Any]]) -> float | None:
    """Return the area under the ROC curve: the chance that a positive has the higher value.

    A tie counts half. By sorting the negatives only, which is quick for millions of pixels.

    Parameters
    ----------
    positive : bool array of shape (n,)
    values : array of shape (n,)

    Returns
    -------
    float or None
        None if all or none are positive.

    Raises
    ------
    InputError
        If a value is NaN, which has no place in an order.

    Examples
    --------
    >>> roc_auc(np.array([False, False, True]), np.array([0.1, 0.4, 0.4]))
    0.75
    """
    if np.isnan(values).any():
        raise InputError("an uncertainty is NaN: it cannot be put in order")
    positives, negatives = np.sort(values[positive]), np.sort(values[~positive])
    if not len(positives) or not len(negatives):
        return None
    below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.int64)
    return float((below + not_above) / (2 * len(positives) * len(negatives)))
