"""The results as a picture: a panel a set, a line a method, a dot with a bar from low to high."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .report import interval, mean_of, names_in_order
from .results import Results

__all__ = ["draw"]

# Okabe and Ito's blue, orange and a grey that differ in lightness too; shapes tell them in print.
STYLES = {
    "pretrained": ("#0072B2", "o"),
    "builtin": ("#0072B2", "D"),
    "untrained": ("#E69F00", "s"),
    "colour": ("#E69F00", "^"),
    "forest-position": ("#6f6f6f", "v"),
    "forest": ("#6f6f6f", "X"),
}
PANEL, LABELS = 1.75, 2.6  # inches


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
    width, height = LABELS + PANEL * len(sets), 1.0 + 0.34 * len(present)
    figure = Figure(figsize=(width, height), dpi=200)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=LABELS / width, right=1 - 0.15 / width, top=1 - 0.35 / height, bottom=0.5 / height
    )
    for axes, name in zip(panels, sets, strict=True):
        axes.set_title(name.replace("_", " "), fontsize=10)
        _frame(axes)
        for line, row in enumerate(present):
            records = shown.get((name, row), ())
            mean = mean_of(records, "mean_iou")
            if mean is not None:
                _dot(axes, line, mean, interval(records, "mean_iou"), *STYLES[row])
    panels[0].set_yticks(range(len(present)), [rows[row] for row in present], fontsize=9)
    panels[0].set_ylim(len(present) - 0.5, -0.5)
    figure.supxlabel("mIoU on the test images: mean, lowest and highest of the seeds", fontsize=9)
    figure.savefig(path)


def _frame(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _dot(
    axes: Axes, line: int, mean: float, ends: tuple[float, float], colour: str, shape: str
) -> None:
    low, high = ends
    axes.plot([low, high], [line, line], color=colour, linewidth=3, alpha=0.5)
    axes.plot(mean, line, marker=shape, color=colour, markersize=6, linestyle="none")
    beside = mean > 0.7  # then there is no room to the right
    axes.annotate(
        f"{mean:.2f}",
        (low if beside else high, line),
        xytext=(-6 if beside else 6, 0),
        textcoords="offset points",
        horizontalalignment="right" if beside else "left",
        verticalalignment="center",
        fontsize=8,
    )
