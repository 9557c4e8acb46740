"""The course of a run as a picture: loss, and the held-out mIoU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..console.figures import BLUE, COLOURS, figure

__all__ = ["draw_curve"]


def draw_curve(lines: Sequence[Mapping[str, Any]], stem: Path, against: str) -> None:
    """Draw the lines of a log.

    Parameters
    ----------
    lines : sequence of mapping
        With ``step`` and, where known, ``loss`` and ``held_out_miou``.
    stem : path
        Of the ``.png``, without its ending.
    against : str
        What the held-out masks were compared with.
    """
    with figure(stem, columns=2, size=(3.6, 2.8), forms=("png",)) as (left, right):
        _draw(left, lines, "loss", COLOURS[6])
        _draw(right, lines, "held_out_miou", BLUE)
        left.set(xlabel="step", ylabel="loss of training", ylim=(0, None))
        right.set(xlabel="step", ylabel="mIoU", ylim=(0, 1))
        right.set_title(f"held out, against {against}", fontsize=9)


def _draw(axis: Any, lines: Sequence[Mapping[str, Any]], key: str, colour: str) -> None:
    known = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
    if known:
        axis.plot(*zip(*known, strict=True), color=colour, marker="o", markersize=3)
