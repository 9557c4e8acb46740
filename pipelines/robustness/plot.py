"""The plots of a robustness study: a panel a corruption, mIoU by severity, a line a model.

Models differ by colour (Okabe and Ito's, told apart by colour-blind eyes), marker and dashes, so
that any one of these is enough: black and white will do.
"""

from io import BytesIO
from typing import TYPE_CHECKING

from .results import Results, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["drawn"]

STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#000000", "v", (0, (5, 1, 1, 1, 1, 1))),
    ("#E69F00", "P", (0, (8, 2))),
    ("#56B4E9", "X", (0, (2, 1))),
)
COLUMNS = 4
WIDTH, PANEL, ABOVE, LINE, BELOW = 7.2, 1.5, 0.35, 0.17, 0.5  # inches
MEAN = "mean"


def drawn(results: Results, form: str) -> bytes:
    """Return a picture of the results.

    The first panel is the mean over the corruptions, where there are several that all models share;
    then the corruptions follow by group.

    Parameters
    ----------
    results : Results
    form : str
        "png" or "svg".
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [*([MEAN] if len(results.shared()) > 1 else []), *results.corruptions]
    columns = max(1, min(COLUMNS, len(panels)))
    rows = -(-len(panels) // columns)
    above = ABOVE + LINE * -(-len(results.models) // 2)  # the legend has two columns
    height = above + PANEL * rows + BELOW
    file = BytesIO()
    # a fixed salt and no date: the same results give the same file; text stays text
    with mpl.rc_context({"svg.hashsalt": "dseg", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(0.08, BELOW / height, 0.985, 1 - above / height, 0.1, 0.32)
        scores = [cell.mean_iou or 0.0 for cell in results.cells.values()]
        grid.flat[0].set_ylim(0, 1.06 * max(scores, default=1.0) or 1.0)  # of all panels
        for number, axes in enumerate(grid.flat):
            if number < len(panels):
                _panel(axes, results, panels[number])
                axes.tick_params(labelbottom=number + columns >= len(panels))
            else:
                axes.set_visible(False)
        figure.supxlabel("severity (0: clean)", fontsize=8, y=0.08 / height)
        figure.supylabel("mIoU", fontsize=8, x=0.008)
        lines, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="upper center", ncols=2, frameon=False, handlelength=4)
        figure.savefig(file, format=form, dpi=200, metadata={"Date": None} if form == "svg" else {})
    return file.getvalue()


def _panel(axes: "Axes", results: Results, panel: str) -> None:
    names = short_names(list(results.models.values()))
    for number, (model, name) in enumerate(zip(results.models, names, strict=True)):
        colour, marker, dashes = STYLES[number % len(STYLES)]
        scores = {s: _score(results, model, panel, s) for s in (0, *results.severities)}
        known = {severity: score for severity, score in scores.items() if score is not None}
        if set(known) == {0}:  # not tried on this model; its line stays, for the legend
            known = {}
        axes.plot(
            list(known),
            list(known.values()),
            color=colour,
            marker=marker,
            linestyle=dashes,
            linewidth=1.2,
            markersize=3.5,
            label=name,
        )
    words = f"mean of {len(results.shared())}" if panel == MEAN else panel.replace("_", " ")
    axes.set_title(words, fontsize=8, fontweight="bold" if panel == MEAN else "normal", pad=3)
    axes.set_xticks([0, *results.severities])
    axes.grid(visible=True, color="0.88", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _score(results: Results, model: str, panel: str, severity: int) -> float | None:
    if panel == MEAN and severity:
        return results.averaged(model, [severity])
    return results.mean_iou(model, panel, severity)
