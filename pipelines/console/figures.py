"""Plots as PNG and SVG: for print, and for the colour-blind, in Okabe and Ito's colours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ...classify.evaluation.intervals import Interval
from ...classify.inference.mask_files import write_encoded
from ...classify.labels.classes import OKABE_ITO

__all__ = ["BLUE", "draw_curve", "draw_reliability", "figure"]


def _hex(k: int) -> str:
    return "#" + "".join(f"{part:02x}" for part in OKABE_ITO[k])


BLUE = _hex(5)

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "dseg",  # the same figure is the same file
}


@contextmanager
def figure(
    stem: Path, columns: int = 1, size: tuple[float, float] = (4.8, 3.4)
) -> Iterator[Sequence[Any]]:
    """Yield axes to draw on; then write ``stem.png`` and ``stem.svg``, each whole or not at all.

    Parameters
    ----------
    stem : path
        Of the files, without an ending.
    columns : int
        Axes side by side.
    size : tuple of float
        Width and height of each, in inches.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        made = Figure(figsize=(size[0] * columns, size[1]), layout="constrained")
        FigureCanvasAgg(made)
        yield made.subplots(1, columns, squeeze=False)[0]
        for form, how in (("png", {"dpi": 200}), ("svg", {"metadata": {"Date": None}})):
            file = BytesIO()
            made.savefig(file, format=form, **how)
            write_encoded(f"{stem}.{form}", file.getvalue())


def _legend(axis: Any) -> None:
    """Draw the legend above the axes, what is drawn last first: in them it may hide something."""
    lines, names = (part[::-1] for part in axis.get_legend_handles_labels())
    how = {"loc": "outside upper center", "frameon": False, "columnspacing": 1.2}
    axis.figure.legend(lines, names, ncols=len(names), handlelength=1.6, **how)


def draw_reliability(calibration: Mapping[str, Any], folder: Path) -> None:
    """Draw how often the likeliest class is right, by how likely it is said to be.

    Parameters
    ----------
    calibration : mapping
        `Calibration.to_dict`.
    folder : path
        Gets ``reliability.png`` and ``reliability.svg``.
    """
    titles = {"before": "uncalibrated"}
    if calibration["temperature"] != 1:
        titles["after"] = f"at temperature {calibration['temperature']:.2f}"
    with figure(folder / "reliability", columns=len(titles), size=(3.2, 3.2)) as axes:
        for axis, (when, title) in zip(axes, titles.items(), strict=True):
            bins = calibration["reliability"][when]
            said, right, share = (
                np.array([one[key] for one in bins]) for key in ("confidence", "accuracy", "share")
            )
            error = calibration["calibration_error"][when]
            axis.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
            axis.bar(said, share, width=0.03, color="0.85", label="fraction of pixels")
            axis.plot(said, right, color=BLUE, marker="o", markersize=4, label="right")
            axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the most likely class")
            axis.set_title(f"{title}: error {error:.3f}", fontsize=9)
        axes[0].set_ylabel("fraction that is correct")
        _legend(axes[0])


def draw_curve(
    images: Sequence[int],
    means: Sequence[float],
    intervals: Sequence[Interval | None],
    by_draw: Sequence[Sequence[float]],
    folder: Path,
) -> None:
    """Draw the mIoU against the number of labelled images, on a scale of doublings.

    Parameters
    ----------
    images : sequence of int
    means : sequence of float
    intervals : sequence of Interval or None
    by_draw : sequence of sequences of float
        The scores of each draw, one sequence a number of images.
    folder : path
        Gets ``curve.png`` and ``curve.svg``.
    """
    with figure(folder / "curve") as (axis,):
        for number, scores in enumerate(zip(*by_draw, strict=True)):
            name = "one draw" if number == 0 else None
            axis.plot(images, scores, color="0.75", linewidth=0.8, zorder=1, label=name)
        known = [(n, one) for n, one in zip(images, intervals, strict=True) if one is not None]
        if known:
            axis.vlines(
                [n for n, _ in known],
                [max(0, one.low) for _, one in known],
                [min(1, one.high) for _, one in known],
                color=BLUE,
                linewidth=1.2,
                label="95 % interval",
            )
        axis.plot(images, means, color=BLUE, marker="o", markersize=5, label="mean of the draws")
        axis.set_xscale("log", base=2)
        axis.set_xticks(images, [str(n) for n in images])
        axis.minorticks_off()
        axis.set(xlabel="labelled images", ylabel="mIoU on held-out images")
        _legend(axis)
