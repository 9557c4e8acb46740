"""The plots of a robustness study: a panel a corruption, mIoU by severity, a line a model.

Models differ by colour, marker and dashes, so that any one of these is enough: black and white will
do.
"""

from pathlib import Path
from typing import Any

from ..console.figures import COLOURS, figure, legend_above
from .results import Results, short_names

__all__ = ["draw_results"]

STYLES = (
    (COLOURS[5], "o", "-"),
    (COLOURS[6], "s", "--"),
    (COLOURS[3], "^", "-."),
    (COLOURS[7], "D", ":"),
    ("black", "v", (0, (5, 1, 1, 1, 1, 1))),
    (COLOURS[1], "P", (0, (8, 2))),
    (COLOURS[2], "X", (0, (2, 1))),
)
COLUMNS, WIDTH, HEIGHT = 4, 7.2, 1.7  # panels side by side; inches of all, and of each
MEAN = "mean"


def draw_results(results: Results, stem: Path) -> None:
    """Write ``stem.png`` and ``stem.svg``.

    The first panel is the mean over the corruptions, where there are several that all models share;
    then the corruptions follow by group.
    """
    panels = [*([MEAN] if len(results.shared()) > 1 else []), *results.corruptions]
    columns = max(1, min(COLUMNS, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    with figure(stem, columns, (WIDTH / columns, HEIGHT), rows, sharex=True, sharey=True) as axes:
        for axis, panel in zip(axes, panels, strict=False):
            _panel(axis, results, panel)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis in axes[::columns]:
            axis.set_ylabel("mIoU")
        for axis in axes[: len(panels)][-columns:]:  # the last of each column
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("severity (0: clean)", fontsize=8)
        scores = [cell["mean_iou"] or 0.0 for cell in results.cells.values()]
        axes[0].set_ylim(0, 1.06 * max(scores, default=1.0) or 1.0)  # of all panels
        legend_above(axes[0], columns=2)


def _panel(axis: Any, results: Results, panel: str) -> None:
    names = short_names(list(results.models.values()))
    for number, (model, name) in enumerate(zip(results.models, names, strict=True)):
        colour, marker, dashes = STYLES[number % len(STYLES)]
        scores = {s: _score(results, model, panel, s) for s in (0, *results.severities)}
        known = {severity: score for severity, score in scores.items() if score is not None}
        if set(known) == {0}:  # not tried on this model; its line stays, for the legend
            known = {}
        line = {"color": colour, "marker": marker, "linestyle": dashes, "label": name}
        axis.plot(list(known), list(known.values()), linewidth=1.2, markersize=3.5, **line)
    words = f"mean of {len(results.shared())}" if panel == MEAN else panel.replace("_", " ")
    axis.set_title(words, fontsize=8, fontweight="bold" if panel == MEAN else "normal", pad=3)
    axis.set_xticks([0, *results.severities])
    axis.grid(visible=True, color="0.88", linewidth=0.6)


def _score(results: Results, model: str, panel: str, severity: int) -> float | None:
    if panel == MEAN and severity:
        return results.averaged(model, [severity])
    return results.mean_iou(model, panel, severity)
