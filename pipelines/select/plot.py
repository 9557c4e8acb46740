"""The pictures of ``dseg select``: which layers separate the classes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..console.figures import figure
from .config import ScoredSet, SelectSummary
from .layer_sets import split_name

__all__ = ["draw_classes", "draw_layers"]

# Perceptually uniform, the same to the colour-blind, and rising in grey.
_COLOURS = "cividis"
_CELL, _FLAT = 0.5, 0.72  # width in inches, height as a share of it
_LEAST_SPAN = 0.05  # of mIoU from darkest to brightest: less is hardly a difference
_GAP = 1.8  # cells beside each panel, for the names of its lines
_NO_NETWORK = "no network"


def draw_layers(summary: SelectSummary, stem: Path) -> None:
    """Draw the mIoU of each layer alone, block by step: a panel a network, one for extra layers.

    Layers of the recommended set have a frame.

    Parameters
    ----------
    summary : SelectSummary
    stem : path
        Of ``.png`` and ``.svg``.
    """
    grids = _grids(summary)
    scores = [row.mean_iou for row in summary.alone]
    high = max(scores)
    low = min(*scores, high - _LEAST_SPAN)
    lines = [list(dict.fromkeys(line for line, _ in grid)) for grid in grids.values()]
    columns = [
        sorted({column for _, column in grid}, key=lambda step: int(step or 0))
        for grid in grids.values()
    ]
    widths = [len(steps) for steps in columns]
    size = (
        _CELL * (sum(widths) + _GAP * (1 + len(grids))) / len(grids),
        _CELL * _FLAT * (max(map(len, lines)) + 3),
    )
    with figure(stem, len(grids), size, width_ratios=widths) as axes:
        for axis, title, rows, steps in zip(axes, grids, lines, columns, strict=True):
            values = np.full((len(rows), len(steps)), np.nan)
            for (line, column), row in grids[title].items():
                place = rows.index(line), steps.index(column)
                values[place] = row.mean_iou
                if row.layers[0] in summary.recommended.layers:
                    _frame(axis, place[1] - 0.5, place[0] - 0.5)
            image = axis.imshow(values, cmap=_COLOURS, vmin=low, vmax=high, aspect=_FLAT)
            _numbers(axis, values, (values - low) / (high - low))
            axis.set_xticks(range(len(steps)), steps)
            axis.set_yticks(range(len(rows)), rows)
            axis.tick_params(length=0, labelsize=8)
            axis.set_title(title, fontsize=9)
            if title != _NO_NETWORK:
                axis.set_ylabel("block", fontsize=8)
                axis.set_xlabel("without noise" if steps == [""] else "step", fontsize=8)
        axes[0].figure.supxlabel("framed: the recommended set", fontsize=8)
        axes[0].figure.colorbar(image, ax=axes, label="mIoU of the layer alone", shrink=0.8)


def draw_classes(summary: SelectSummary, stem: Path) -> None:
    """Draw the IoU of each class by layer, all on one scale; each class's best layer is framed."""
    classes = list(summary.alone[0].iou)
    iou = np.array(
        [[_or_nan(row.iou[name]) for name in classes] for row in summary.alone], np.float64
    )
    known = np.where(np.isnan(iou), 0, iou)
    highest = float(known.max()) or 1.0
    names = [row.layers[0] for row in summary.alone]
    size = (_CELL * len(classes) + 2.2, 0.22 * len(names) + 1.6)
    with figure(stem, size=size) as axes:
        (axis,) = axes
        image = axis.imshow(iou, cmap=_COLOURS, vmin=0, vmax=highest, aspect="auto")
        _numbers(axis, iou, iou / highest)
        for column, line in enumerate(known.argmax(axis=0)):
            if known[line, column] > 0:
                _frame(axis, column - 0.5, line - 0.5)
        axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(length=0)
        axis.set_xlabel("framed: the class's best layer", fontsize=8)
        bar = axis.figure.colorbar(image, ax=axis, shrink=0.8)
        bar.set_label("IoU of the class\nwith the layer alone", fontsize=8)  # fits few layers too


def _grids(summary: SelectSummary) -> dict[str, dict[tuple[str, str], ScoredSet]]:
    """Return each store's layers by block and step, then those that no network made by name."""
    grids: dict[str, dict[tuple[str, str], ScoredSet]] = {}
    count, extras = len(summary.stores), dict[tuple[str, str], ScoredSet]()
    for row in summary.alone:
        number, name = split_name(row.layers[0], count)
        match = re.fullmatch(r"(?:(\d+):)?(\d+)", name)
        if match is None:
            extras[name, ""] = row
        else:
            title = f"{number + 1}: {Path(summary.stores[number]).name}" if count > 1 else ""
            grids.setdefault(title, {})[match[2], match[1] or ""] = row
    in_order = {
        title: dict(sorted(grid.items(), key=lambda cell: [int(n or 0) for n in cell[0]]))
        for title, grid in grids.items()
    }
    return in_order | ({_NO_NETWORK: extras} if extras else {})


def _numbers(axis: Any, values: NDArray[np.float64], shade: NDArray[np.float64]) -> None:
    """Print each cell's number, white on dark and black on light."""
    for (line, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "black" if shade[line, column] > 0.55 else "white"
            text = f"{value:.2f}".lstrip("0") or "0"
            axis.text(column, line, text, ha="center", va="center", color=colour, fontsize=7)


def _frame(axis: Any, left: float, top: float) -> None:
    """Frame a cell, visible on dark and light alike."""
    from matplotlib.patches import Rectangle

    for width, colour in ((3.2, "black"), (1.4, "white")):
        place = (left + 0.04, top + 0.06)
        axis.add_patch(Rectangle(place, 0.92, 0.88, fill=False, edgecolor=colour, linewidth=width))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
