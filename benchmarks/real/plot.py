"""The results as a picture: a panel a set, a bar a method, and on it the range of its seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .report import interval, mean_of, names_in_order
from .results import Record, Results

__all__ = ["draw"]

# Okabe and Ito's blue, sky blue and orange, and a grey; every bar also stands beside its name.
COLOURS = {
    "pretrained": "#0072B2",
    "builtin": "#56B4E9",
    "untrained": "#E69F00",
    "filters": "#E69F00",
    "colour": "#E69F00",
    "forest-position": "#999999",
    "forest": "#999999",
}
FURTHER = "#009E73"  # their green, of further networks
PANEL, LABELS, LINE = 1.75, 2.6, 0.3  # inches
ROOM = 1.35  # of a panel over its longest bar: for the number


def draw(results: Results, rows: Mapping[str, str], path: Path) -> None:
    """Draw mIoU by set and method.

    Parameters
    ----------
    results : Results
    rows : mapping
        The methods in order, with their names, which stand at the left.
    path : path
        Of the PNG.
    """
    shown = results.shown()
    sets, present = names_in_order(shown, rows)
    width, height = LABELS + PANEL * len(sets), 0.95 + LINE * len(present)
    figure = Figure(figsize=(width, height), dpi=200)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=LABELS / width, right=1 - 0.15 / width, top=1 - 0.35 / height, bottom=0.55 / height
    )
    for axes, name in zip(panels, sets, strict=True):
        axes.set_title(name.replace("_", " "), fontsize=10)
        found = {row: shown[name, row] for row in present if (name, row) in shown}
        for row, records in found.items():
            _bar(axes, present.index(row), records, COLOURS.get(row, FURTHER))
        highest = max(interval(records, "mean_iou")[1] for records in found.values())
        _frame(axes, ROOM * max(highest, 0.01))
    panels[0].set_yticks(range(len(present)), [rows[row] for row in present], fontsize=9)
    panels[0].set_ylim(len(present) - 0.5, -0.5)
    words = "mIoU on the test images: mean of the seeds, lowest and highest; each set to its scale"
    figure.supxlabel(words, fontsize=9)
    figure.savefig(path)


def _bar(axes: Axes, line: int, records: Sequence[Record], colour: str) -> None:
    mean, (low, high) = mean_of(records, "mean_iou") or 0.0, interval(records, "mean_iou")
    axes.barh(line, mean, height=0.62, color=colour)
    axes.plot([low, high], [line, line], color="black", linewidth=0.9, marker="|", markersize=5)
    axes.annotate(
        f"{mean:.2f}",
        (high, line),
        xytext=(5, 0),
        textcoords="offset points",
        verticalalignment="center_baseline",
        fontsize=8.5,
    )


def _frame(axes: Axes, end: float) -> None:
    axes.set_xlim(0, end)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
