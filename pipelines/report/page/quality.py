"""The parts of the page about agreement with the labels: classes, confusions, images."""

import numpy as np

from ....classify.evaluation.intervals import Interval
from ..findings.scores import FEW_IMAGES, ImageScore, Scores
from .charts import interval_bar
from .look import Look, name_of, percent, score
from .markup import Html, cell_table, data_table, joined, tag

__all__ = ["MOST_ROWS", "class_table", "confusion_table", "image_table", "top_confusions"]

MOST_ROWS = 200
"""Of a table."""

_MOST_IN_MATRIX = 16


def class_table(scores: Scores, intervals: list[Interval | None], look: Look) -> Html:
    """Return the IoU of each class with its interval, as numbers and as bars."""
    iou, images = scores.confusion.iou_per_class(), scores.images_with
    counts = scores.pairs.sum(axis=1)
    total = max(1, int(counts.sum()))
    rows = []
    for k in range(min(len(iou), MOST_ROWS)):
        value, between = float(iou[k]), intervals[k]
        bar = Html("")
        if not np.isnan(value):
            bar = interval_bar(
                value, between.low if between else None, between.high if between else None
            )
        few = " (few)" if 0 < images[k] < FEW_IMAGES else ""
        rows.append(
            [
                tag("th", look.named(k), scope="row"),
                tag("td", score(value)),
                tag("td", f"{between.low:.3f} to {between.high:.3f}" if between else "–"),
                tag("td", bar),
                tag("td", f"{images[k]}{few}"),
                tag("td", percent(counts[k] / total)),
            ]
        )
    head = ("class", "IoU", "95 % interval", "0 to 1", "labelled images", "labelled pixels")
    table = cell_table(
        "IoU of each class on held-out images", head, rows, "t-classes", class_="wide"
    )
    return joined([table, *_more(len(iou), "classes")])


def _more(count: int, what: str) -> list[Html]:
    if count <= MOST_ROWS:
        return []
    words = f"The first {MOST_ROWS} of {count} {what}; `dseg evaluate --json` gives all."
    return [tag("p", words, class_="note")]


def confusion_table(scores: Scores, look: Look) -> Html:
    """Return what masks say of the pixels of each class: shares of its labelled pixels."""
    counts = scores.pairs
    frequent = np.argsort(-(counts.sum(axis=1) + counts.sum(axis=0)), kind="stable")
    shown = sorted(int(k) for k in frequent[:_MOST_IN_MATRIX])
    rows = []
    for label in shown:
        cells = [tag("th", look.named(label), scope="row")]
        for mask in shown:
            share = scores.taken_for(label, mask)
            own = "own" if label == mask else None
            words = "" if not counts[label].any() else f"{100 * share:.0f}"
            cells.append(tag("td", words, class_=own, style=f"--share:{share / 2:.2f}"))
        rows.append(cells)
    corner = "labelled ↓ masks →"
    heads = [corner, *(tag("span", look.plain(k)) for k in shown)]
    caption = "Of the labelled pixels of a class (row), the per cent that masks give each (column)"
    table = cell_table(caption, heads, rows, "t-confusion", class_="matrix")
    rest = len(counts) - len(shown)
    note = f"The {len(shown)} classes with most pixels; {rest} more are left out of this table."
    return joined([table, *([tag("p", note, class_="note")] if rest else [])])


def top_confusions(scores: Scores, most: int = 3) -> list[tuple[int, int, float]]:
    """Return which classes are taken for which most often, by pixels: label, mask, share."""
    counts = scores.pairs.copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [(i, j, scores.taken_for(i, j)) for i, j in pairs if counts[i, j] > 0]


def image_table(scores: Scores) -> Html:
    """Return the scores of each image, the worst first."""
    order = sorted(scores.images, key=_worst_first)
    rows = [
        [
            name_of(one.stem),
            score(one.mean_iou),
            score(one.accuracy),
            score(one.uncertainty),
        ]
        for one in order[:MOST_ROWS]
    ]
    head = ("image", "mIoU of its classes", "correct pixels", "uncertainty (nats)")
    table = data_table("Held-out images, the worst first", head, rows, "t-images")
    return joined([table, *_more(len(order), "images, the worst first")])


def _worst_first(one: ImageScore) -> tuple[float, str]:
    return (2.0 if np.isnan(one.mean_iou) else one.mean_iou), one.stem
