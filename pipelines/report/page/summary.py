"""The top of the page: how good the masks are, and what to do, in a few words."""

import numpy as np

from ....classify.evaluation.intervals import Interval
from ..findings.scores import FEW_IMAGES, Scores
from .look import Look, percent, score
from .markup import Html, joined, tag
from .quality import top_confusions

__all__ = ["advice", "confusions_in_words", "verdict", "weak_classes"]

_MOST_NAMED = 4


def _fact_list(facts: list[tuple[str, str, str]]) -> Html:
    """Return a few numbers in large type: what, value, what it means."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", what), tag("dd", value, tag("small", meaning)))
            for what, value, meaning in facts
        ),
        class_="facts",
    )


def verdict(scores: Scores, interval: Interval, suspects: int) -> Html:
    """Return the numbers of the held-out images at a glance."""
    confusion = scores.confusion
    return _fact_list(
        [
            (
                "mIoU",
                score(confusion.mean_iou()),
                f"95 % interval {interval.low:.3f} to {interval.high:.3f}",
            ),
            ("correct pixels", percent(confusion.pixel_accuracy()), "of all labelled ones"),
            ("held-out images", str(len(scores.images)), "each predicted without learning from it"),
            ("suspicious labels", str(suspects), "shown below"),
        ]
    )


def weak_classes(scores: Scores) -> list[int]:
    """Return the labelled classes that masks are worst at: those below the mean, worst first."""
    iou, images = scores.confusion.iou_per_class(), scores.images_with
    below = [
        k
        for k in range(len(iou))
        if images[k] and not np.isnan(iou[k]) and (iou[k] < scores.confusion.mean_iou())
    ]
    return sorted(below, key=lambda k: (float(iou[k]), k))[:_MOST_NAMED]


def advice(scores: Scores, look: Look) -> Html:
    """Return what to label more of, class by class, and why."""
    iou, images = scores.confusion.iou_per_class(), scores.images_with
    counts = scores.pairs.copy()
    np.fill_diagonal(counts, 0)
    lines = []
    for k in weak_classes(scores):
        words = f": IoU {score(float(iou[k]))}, in {images[k]} of {len(scores.images)} label maps"
        words += "; that is few" if images[k] < FEW_IMAGES else ""
        line = [look.named(k), words]
        if counts[k].any():
            other = int(counts[k].argmax())
            share = percent(scores.taken_for(k, other))
            line += ["; taken for ", look.named(other), f" in {share} of its pixels"]
        lines.append(tag("li", *line))
    if not lines:
        return tag("p", "No class is much worse than the others.")
    return joined([tag("p", "Label more images that show these classes:"), tag("ul", *lines)])


def confusions_in_words(scores: Scores, look: Look) -> list[Html]:
    """Return which classes are confused most, in words."""
    return [
        joined([look.named(i), " taken for ", look.named(j), f": {percent(share)} of its pixels"])
        for i, j, share in top_confusions(scores)
    ]
