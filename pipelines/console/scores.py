"""Scores as lines for a terminal."""

from collections.abc import Mapping
from typing import Any

__all__ = ["cross_validation_words", "score_table", "self_training_words"]


def score_table(
    class_iou: Mapping[str, float | None], mean_iou: float, pixel_accuracy: float
) -> list[str]:
    """Return the lines of a table of scores, all of one length."""
    named = {**class_iou, "mIoU": mean_iou, "pixel accuracy": pixel_accuracy}
    width = max(map(len, named))
    return [
        f"{name:<{width}}  {'–':>6}" if value is None else f"{name:<{width}}  {value:6.4f}"
        for name, value in named.items()
    ]


def cross_validation_words(facts: Mapping[str, Any]) -> list[str]:
    """Return the lines that tell of a cross-validation.

    Parameters
    ----------
    facts : mapping
        `CrossValidation.to_dict`.
    """
    low, high = facts["interval"]
    each = [score for score in facts["fold_mean_iou"] if score is not None]
    found = facts["calibration"]
    error, nll = found["calibration_error"], found["nll"]
    classes = (
        f"{name} {'–' if iou is None else format(iou, '.3f')}" for name, iou in facts["iou"].items()
    )
    return [
        (
            f"mIoU {facts['mean_iou']:.3f} on {facts['images']} held-out images "
            f"({facts['folds']} folds); 95 % interval {low:.3f} to {high:.3f} (by resampling "
            f"images); single folds {min(each):.3f} to {max(each):.3f}"
        ),
        f"pixel accuracy {facts['pixel_accuracy']:.3f}; IoU of {', '.join(classes)}",
        f"probabilities: calibration error {error['before']:.3f}, negative log-likelihood "
        f"{nll['before']:.3f}; "
        + (
            "no temperature improves them"
            if found["temperature"] == 1
            else (
                f"at temperature {found['temperature']:.2f}: {error['after']:.3f} and "
                f"{nll['after']:.3f}"
            )
        ),
    ]


def self_training_words(facts: Mapping[str, Any]) -> list[str]:
    """Return the lines that tell whether self-training helped.

    Parameters
    ----------
    facts : mapping
        As `SelfTraining.compared` returns it.
    """
    before, after = facts["mean_iou_before"], facts["mean_iou_after"]
    decided = (
        "it is part of the model"
        if facts["kept"]
        else "not enough to keep it: the model is trained on the labels alone"
    )
    return [
        f"self-training on {facts['images']} images without labels: mIoU {before:.3f} without, "
        f"{after:.3f} with it, by {facts['folds']} folds; better in "
        f"{100 * facts['better_in']:.0f} % of resampled sets of images: {decided}"
    ]
