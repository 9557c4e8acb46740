"""The pictures of ``dseg select``: where in the network the classes are."""

import re
from collections.abc import Collection, Sequence
from itertools import accumulate
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
_GAP = 1.8  # cells on the left of a panel, for the names of its lines


def draw_layers(summary: SelectSummary, stem: Path) -> None:
    """Draw the mIoU of each layer alone, block by step: a panel a network, one for extra layers.

    Layers of the recommended set have a frame.

    Parameters
    ----------
    summary : SelectSummary
    stem : path
        Of ``.png`` and ``.svg``.
    """
    panels = _panels(summary)
    chosen = set(summary.recommended.layers)
    scores = [row.mean_iou for row in summary.alone]
    high = max(scores)
    low = min(*scores, high - _LEAST_SPAN)
    tallest = max(len(panel.lines) for panel in panels)
    ends = list(accumulate(len(panel.columns) + _GAP for panel in panels))
    size = (_CELL * (ends[-1] + 1) + 1, _CELL * _FLAT * (tallest + 3))
    with figure(stem, size=size) as axes:
        (axis,) = axes
        for panel, end in zip(panels, ends, strict=True):
            image = _heat_map(axis, panel, end - len(panel.columns), low, high, chosen)
        axis.set(xlim=(0, ends[-1]), ylim=(tallest + 2, -0.9), aspect=_FLAT)
        axis.text(_GAP, tallest + 1.8, "framed: the recommended set", fontsize=8)
        axis.axis("off")
        axis.figure.colorbar(image, ax=axis, label="mIoU of the layer alone", shrink=0.8)


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


class _Panel:
    """Scores on a grid, and which layer each cell is."""

    def __init__(self, title: str, lines: Sequence[str], columns: Sequence[str]) -> None:
        self.title, self.lines, self.columns = title, list(lines), list(columns)
        self.scores = np.full((len(lines), len(columns)), np.nan)
        self.names: dict[tuple[int, int], str] = {}

    @property
    def of_network(self) -> bool:
        return self.lines[0].isdigit()

    def put(self, line: str, column: str, row: ScoredSet) -> None:
        place = self.lines.index(line), self.columns.index(column)
        self.scores[place] = row.mean_iou
        self.names[place] = row.layers[0]


def _panels(summary: SelectSummary) -> list[_Panel]:
    """Return a panel for each store, then one for the layers that are no activations."""
    count = len(summary.stores)
    grids: dict[int, list[tuple[str, str, ScoredSet]]] = {}
    extras = []
    for row in summary.alone:
        number, name = split_name(row.layers[0], count)
        match = re.fullmatch(r"(?:(\d+):)?(\d+)", name)
        if match is None:
            extras.append((name, row))
        else:
            grids.setdefault(number, []).append((match[2], match[1] or "", row))
    panels = []
    for number, cells in grids.items():
        lines = sorted({block for block, _, _ in cells}, key=int)
        columns = sorted({step for _, step, _ in cells}, key=lambda step: int(step or 0))
        title = Path(summary.stores[number]).name if count > 1 else ""
        panel = _Panel(title, lines, columns)
        for cell in cells:
            panel.put(*cell)
        panels.append(panel)
    if extras:
        panel = _Panel("no network", [name for name, _ in extras], [""])
        for name, row in extras:
            panel.put(name, "", row)
        panels.append(panel)
    return panels


def _heat_map(
    axis: Any, panel: _Panel, left: float, low: float, high: float, chosen: Collection[str]
) -> Any:
    """Draw a panel whose first column begins at ``left``, each cell one wide and one high."""
    lines, columns = panel.scores.shape
    extent = (left, left + columns, lines, 0)
    image = axis.imshow(panel.scores, cmap=_COLOURS, vmin=low, vmax=high, extent=extent)
    _numbers(axis, panel.scores, (panel.scores - low) / (high - low), left + 0.5, 0.5)
    for (line, column), name in panel.names.items():
        if name in chosen:
            _frame(axis, left + column, line)
    for line, name in enumerate(panel.lines):
        axis.text(left - 0.15, line + 0.5, name, ha="right", va="center", fontsize=8)
    for column, name in enumerate(panel.columns):
        axis.text(left + column + 0.5, lines + 0.15, name, ha="center", va="top", fontsize=8)
    axis.text(left + columns / 2, -0.15, panel.title, ha="center", va="bottom", fontsize=9)
    if panel.of_network:
        below = "without noise" if panel.columns == [""] else "step"
        axis.text(left + columns / 2, lines + 0.75, below, ha="center", va="top", fontsize=8)
        place = (left - 0.8, lines / 2)
        axis.text(*place, "block", rotation=90, ha="right", va="center", fontsize=8)
    return image


def _numbers(
    axis: Any,
    values: NDArray[np.float64],
    shade: NDArray[np.float64],
    left: float = 0,
    top: float = 0,
) -> None:
    """Print each cell's number, white on dark and black on light."""
    for (line, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "black" if shade[line, column] > 0.55 else "white"
            text = f"{value:.2f}".lstrip("0") or "0"
            place = (left + column, top + line)
            axis.text(*place, text, ha="center", va="center", color=colour, fontsize=7)


def _frame(axis: Any, left: float, top: float) -> None:
    """Frame a cell, visible on dark and light alike."""
    from matplotlib.patches import Rectangle

    for width, colour in ((3.2, "black"), (1.4, "white")):
        place = (left + 0.04, top + 0.06)
        axis.add_patch(Rectangle(place, 0.92, 0.88, fill=False, edgecolor=colour, linewidth=width))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
