"""The report of a curve: its points, what the last doubling brought, table and figure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...classify.evaluation.intervals import Interval, mean_over_draws
from ...store.whole_file import write_whole
from ..console.figures import BLUE, figure, legend_above
from ..console.markdown import score, table

__all__ = ["Point", "interval_words", "points_of", "verdict_of", "write_report"]

SMALL = 0.01
"""A gain of mIoU for which hardly anybody would label twice as many images."""

Cells = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Point:
    """Of one number of images.

    Parameters
    ----------
    images : int
    mean_iou : float
        Mean over the draws.
    interval : Interval or None
        Of that mean; None of a single draw.
    by_draw : tuple of float
        The mIoU of each draw.
    pixel_accuracy : float
    iou : dict
        Mean IoU of each class over the draws in which it counts; None if in none.
    """

    images: int
    mean_iou: float
    interval: Interval | None
    by_draw: tuple[float, ...]
    pixel_accuracy: float
    iou: dict[str, float | None]


def points_of(cells: Cells, overlap: float) -> tuple[Point, ...]:
    """Return the curve.

    Parameters
    ----------
    cells : sequence of mappings
        All draws of each number of images.
    overlap : float
        As of `mean_over_draws`.
    """
    by_images: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for cell in cells:
        by_images[cell["images"]].append(cell)
    return tuple(_point(n, by_images[n], overlap) for n in sorted(by_images))


def _point(images: int, cells: Cells, overlap: float) -> Point:
    scores = tuple(float(cell["mean_iou"]) for cell in cells)
    mean, interval = mean_over_draws(scores, overlap)
    accuracy = sum(cell["pixel_accuracy"] for cell in cells) / len(cells)
    iou: dict[str, float | None] = {}
    for name in cells[0]["iou"]:
        counted = [cell["iou"][name] for cell in cells if cell["iou"][name] is not None]
        iou[name] = sum(counted) / len(counted) if counted else None
    return Point(images, mean, interval, scores, accuracy, iou)


def verdict_of(cells: Cells, overlap: float) -> str:
    """Say what the last doubling of the images brought, draw by draw, and what follows."""
    points = points_of(cells, overlap)
    top = points[-1]
    if len(points) < 2:
        return f"{top.images} images give an mIoU of {top.mean_iou:.3f}; one point is not a curve."
    # The one that is nearest to half as many.
    half = min(points[:-1], key=lambda p: abs(2 * p.images - top.images))
    gains = [b - a for a, b in zip(half.by_draw, top.by_draw, strict=True)]
    gain, interval = mean_over_draws(gains, overlap)
    words = (
        f"From {half.images} to {top.images} labelled images the mIoU changed from "
        f"{half.mean_iou:.3f} to {top.mean_iou:.3f}, by {gain:+.3f}"
    )
    if interval is None:
        return f"{words}. A single draw does not show how certain this is: use more --draws."
    words += f" (95 % interval {interval.low:+.3f} to {interval.high:+.3f})."
    if not 1.5 <= top.images / half.images <= 3:
        return (
            f"{words} What twice as many images would bring is unknown: choose --counts whose "
            "last number is about twice another."
        )
    return f"{words} {_advice(interval)}"


def _advice(interval: Interval) -> str:
    if interval.low > 0:
        return (
            "More labelled images are probably worthwhile: doubling them again may bring a "
            "similar gain, though curves flatten."
        )
    if interval.high < SMALL:
        return (
            "More images of the same kind are hardly worth labelling: even the upper end of "
            f"the interval is below {SMALL} for twice as many."
        )
    return (
        "It is uncertain whether more labelled images are worthwhile: the interval contains "
        "both zero and a useful gain. More --draws narrow it a little, more labelled images "
        "a lot."
    )


def write_report(
    folder: Path, points: Sequence[Point], verdict: str, classes: Sequence[str], how: str
) -> None:
    """Write ``curve.md``, ``curve.png`` and ``curve.svg``."""
    rows = [["images", "mIoU", "95 % interval", "draws", "pixel accuracy"], *map(_row, points)]
    by_class = [["class", *(str(point.images) for point in points)]]
    by_class += [[name, *(score(point.iou.get(name)) for point in points)] for name in classes]
    lines = [
        "# mIoU against the number of labelled images",
        verdict,
        "![mIoU by number of labelled images](curve.png)",
        table(rows),
        "IoU of each class, mean over the draws:",
        table(by_class),
        how,
    ]
    write_whole(folder / "curve.md", ("\n\n".join(lines) + "\n").encode())
    draw_curve(points, folder)


def draw_curve(points: Sequence[Point], folder: Path) -> None:
    """Draw the mIoU against the number of labelled images, on a scale of doublings.

    Writes ``curve.png`` and ``curve.svg``.
    """
    images = [point.images for point in points]
    with figure(folder / "curve") as (axis,):
        for number, scores in enumerate(zip(*(point.by_draw for point in points), strict=True)):
            name = "one draw" if number == 0 else None
            axis.plot(images, scores, color="0.75", linewidth=0.8, zorder=1, label=name)
        known = [(point.images, point.interval) for point in points if point.interval is not None]
        if known:
            lows = [max(0, interval.low) for _, interval in known]
            highs = [min(1, interval.high) for _, interval in known]
            ends = {"color": BLUE, "linewidth": 1.2, "label": "95 % interval"}
            axis.vlines([n for n, _ in known], lows, highs, **ends)
        means = [point.mean_iou for point in points]
        axis.plot(images, means, color=BLUE, marker="o", markersize=5, label="mean of the draws")
        axis.set_xscale("log", base=2)
        axis.set_xticks(images, [str(n) for n in images])
        axis.minorticks_off()
        axis.set(xlabel="labelled images", ylabel="mIoU on held-out images")
        legend_above(axis)


def _row(point: Point) -> list[str]:
    draws = f"{min(point.by_draw):.3f} to {max(point.by_draw):.3f}"
    accuracy = score(point.pixel_accuracy)
    return [str(point.images), score(point.mean_iou), interval_words(point), draws, accuracy]


def interval_words(point: Point) -> str:
    """Return a point's interval, cut to what an mIoU can be."""
    if point.interval is None:
        return "–"
    return f"{max(0, point.interval.low):.3f} to {min(1, point.interval.high):.3f}"
