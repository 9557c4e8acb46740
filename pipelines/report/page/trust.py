"""The parts of the page about how far to trust masks: calibration, uncertainty against error."""

import numpy as np

from ..findings.facts import CalibrationFacts
from ..findings.scores import Scores
from .charts import reliability_chart, scatter_chart, step_chart
from .look import percent, score
from .markup import Html, data_table, joined, tag

__all__ = ["calibration", "uncertainty"]


def calibration(found: CalibrationFacts) -> Html:
    """Return how often the likeliest class is right, by how likely it is said to be."""
    tempered = found.temperature != 1
    after = [(said, right) for said, right, _ in found.after] if tempered else []
    before = [(said, right) for said, right, _ in found.before]
    said, right, _ = max(found.before, key=lambda one: one[2], default=(0.0, 0.0, 0.0))
    words = (
        f"Of the pixels whose class the model gives about {percent(said)}, the most common case, "
        f"{percent(right)} are right. Over all pixels the two differ by {score(found.error[0])} on "
        "average (expected calibration error; 0 is best). "
    )
    words += (
        f"At temperature {found.temperature:.2f}, which `dseg predict --probabilities` applies, it "
        f"is {score(found.error[1])}."
        if tempered
        else "No temperature makes the probabilities better."
    )
    legend = "Dashed grey: ideal. Circles: as they are."
    legend += " Squares, dashed line: at the temperature." if tempered else ""
    title = "Share of pixels that is right, by the probability of their class"
    parts = [
        tag("p", words),
        tag("figure", reliability_chart(before, after, title), tag("figcaption", legend)),
        _bins(found.before, "Probabilities as they are", "t-calibration"),
    ]
    if tempered:
        parts.append(_bins(found.after, "At the temperature", "t-calibration-after"))
    return joined(parts)


def _bins(bins: tuple[tuple[float, float, float], ...], caption: str, name: str) -> Html:
    rows = [[f"{said:.3f}", f"{right:.3f}", percent(share)] for said, right, share in bins]
    head = ("said probability", "share that is right", "of the pixels")
    return _folded(caption, data_table(caption, head, rows, name))


def _folded(caption: str, table: Html) -> Html:
    """Return a table that opens on demand: a chart beside it shows the same."""
    return tag("details", tag("summary", f"{caption}: the numbers"), table)


def uncertainty(scores: Scores) -> Html:
    """Return whether the model is unsure where it is wrong: of pixels and of images."""
    groups = scores.groups()
    if not groups:
        words = "The model has one member only, so nothing can disagree with it: no uncertainty."
        return tag("p", words, class_="note")
    last = groups[-1]
    top = last.stop - last.start
    words = (
        f"The {percent(top)} of pixels that the members of the ensemble disagree on most hold "
        f"{percent(last.errors)} of all wrong pixels: {percent(last.wrong)} of them are wrong. Of "
        f"the surest {percent(groups[0].stop)}, {percent(groups[0].wrong)} are wrong."
    )
    bars = [(one.start, one.stop, one.wrong) for one in groups]
    rows = [
        [
            f"{percent(one.start)} to {percent(one.stop)}",
            f"{one.low:.3f} to {one.high:.3f}",
            percent(one.wrong),
            percent(one.errors),
        ]
        for one in groups
    ]
    head = ("pixels, the surest first", "uncertainty (nats)", "wrong", "of all errors")
    caption = "Wrong pixels by uncertainty"
    return joined(
        [
            tag("h3", "Pixels"),
            tag("p", words),
            tag("figure", step_chart(bars, "Share of wrong pixels, from sure to unsure pixels")),
            _folded(caption, data_table(caption, head, rows, "t-uncertainty")),
            *_of_images(scores),
        ]
    )


def _of_images(scores: Scores) -> list[Html]:
    points = [
        (one.uncertainty, 1 - one.accuracy)
        for one in scores.images
        if one.uncertainty is not None and not np.isnan(one.accuracy)
    ]
    if len(points) < 3:
        return []
    rank = _rank_correlation(points)
    words = (
        "The images are equally uncertain or equally good, so their order says nothing."
        if rank is None
        else f"The order of the images by uncertainty and by wrong pixels agrees by {rank:.2f} "
        "(rank correlation; 1: the same order, 0: unrelated). The higher it is, the better "
        "uncertainty chooses what to label next."
    )
    chart = scatter_chart(points, "Each image: its uncertainty, and its share of wrong pixels")
    more = tag("a", "table of all images", href="#t-images")
    return [
        tag("h3", "Images"),
        tag("p", words, " The numbers are in the ", more, "."),
        tag("figure", chart),
    ]


def _rank_correlation(points: list[tuple[float, float]]) -> float | None:
    """Return Spearman's coefficient; None if one side has one value only."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(side) for side in zip(*points, strict=True)])
    if (ranks.std(axis=1) == 0).any():
        return None
    return float(np.corrcoef(ranks)[0, 1])
