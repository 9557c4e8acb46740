"""Curves of mIoU by seconds of training, as tables and a plot."""

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from real.results import Record, Results

__all__ = ["draw", "soonest", "tables"]

# Okabe and Ito's
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
Curve = dict[int, list[Record]]


def tables(results: Results) -> str:
    """Return Markdown: every mean, and how much sooner the published loop's mIoU is reached."""
    shown = results.shown()
    sets = sorted({name for name, _ in shown})
    lines = ["# mIoU by length of training", "", *_means(shown, sets), ""]
    lines += ["## How much sooner", "", *_sooner(shown, sets), ""]
    lines += [
        "- Measured by `python benchmarks/fit_curves.py data/ --out docs`.",
        "- Ten members; mean of the seeds; seconds are those of training. Half of the images of "
        "train.txt are trained on, the others scored.",
        "- How much sooner: the published loop's seconds over those of the shortest training whose "
        "mIoU is not below its own, by paired seeds: the median, and the lowest and highest.",
    ]
    return "\n".join(lines) + "\n"


def _means(shown: dict[tuple[str, str], list[Record]], sets: Sequence[str]) -> list[str]:
    rows = list(dict.fromkeys(row for _, row in shown))
    rows.sort(key=lambda row: (row != "published", _name(row), _steps(row)))
    lines = [
        "| training | " + " | ".join(f"{name}: mIoU, AUC, s" for name in sets) + " |",
        "| --- |" + " --- |" * len(sets),
    ]
    for row in rows:
        cells = [_cell(shown.get((name, row), [])) for name in sets]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def _cell(records: Sequence[Record]) -> str:
    if not records:
        return "–"
    miou, auc = (mean(r.scores[key] for r in records) for key in ("mean_iou", "auc"))
    return f"{miou:.3f}, {auc:.2f}, {mean(r.seconds['fit'] for r in records):.1f}"


def _sooner(shown: dict[tuple[str, str], list[Record]], sets: Sequence[str]) -> list[str]:
    lines = ["| | " + " | ".join(sets) + " |", "| --- |" + " --- |" * len(sets)]
    for name in sorted({_name(row) for _, row in shown} - {"published"}):
        cells = []
        for data in sets:
            ratios = soonest(shown.get((data, "published"), []), _curve(shown, data, name))
            cells.append(
                f"{median(ratios):.0f}× ({min(ratios):.0f}–{max(ratios):.0f})" if ratios else "–"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def soonest(published: Sequence[Record], curve: Curve) -> list[float]:
    """Return, by seed, how much sooner a curve reaches the published loop's mIoU.

    A seed at which it never does counts 0.
    """
    ratios = []
    for record in published:
        seed, wanted = record.key.seed, record.scores["mean_iou"]
        own = [r for records in curve.values() for r in records if r.key.seed == seed]
        enough = [r.seconds["fit"] for r in own if r.scores["mean_iou"] >= wanted]
        if own:
            ratios.append(record.seconds["fit"] / min(enough) if enough else 0.0)
    return ratios


def _curve(shown: dict[tuple[str, str], list[Record]], data: str, name: str) -> Curve:
    return {
        _steps(row): records
        for (of, row), records in shown.items()
        if of == data and row != "published" and _name(row) == name
    }


def _name(row: str) -> str:
    return row.split(",")[0]


def _steps(row: str) -> int:
    found = re.search(r"(\d+) steps", row)
    return int(found[1]) if found else 0


def draw(results: Results, path: Path) -> None:
    """Draw mIoU by seconds, a panel a set."""
    shown = results.shown()
    sets = sorted({name for name, _ in shown})
    names = sorted({_name(row) for _, row in shown} - {"published"}, reverse=True)
    figure = Figure(figsize=(2.6 * len(sets) + 0.6, 2.9), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    for axes, data in zip(panels, sets, strict=True):
        axes.set_title(data.replace("_", " "), fontsize=10)
        for name, colour in zip(names, COLOURS, strict=False):
            curve = _curve(shown, data, name)
            points = [_point(curve[steps]) for steps in sorted(curve)]
            axes.plot(*zip(*points, strict=True), "o-", ms=3, color=colour, label=name)
        if (data, "published") in shown:
            x, y = _point(shown[data, "published"])
            axes.plot(x, y, "kx", label="published loop")
            axes.axhline(y, color="k", lw=0.5, ls=":")
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())  # of less than a decade they overlap
        axes.tick_params(labelsize=8)
    panels[0].set_ylabel("mIoU", fontsize=9)
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, fontsize=7, loc="outside upper center", ncols=len(names))
    figure.supxlabel("seconds of training, ten members", fontsize=9)
    figure.savefig(path)


def _point(records: Sequence[Record]) -> tuple[float, float]:
    return mean(r.seconds["fit"] for r in records), mean(r.scores["mean_iou"] for r in records)
