"""Plots as PNG and SVG: for print, and for the colour-blind, in Okabe and Ito's colours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ...classify.labels.classes import OKABE_ITO
from ...store.whole_file import write_whole

__all__ = ["BLUE", "COLOURS", "draw_reliability", "figure", "legend_above"]

COLOURS = tuple("#" + bytes(colour).hex() for colour in OKABE_ITO)
BLUE = COLOURS[5]

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "dseg",  # the same figure is the same file
}


_HOW: Mapping[str, Mapping[str, Any]] = {
    "png": {"dpi": 200},
    "svg": {"metadata": {"Date": None}},
}


@contextmanager
def figure(
    stem: Path,
    columns: int = 1,
    size: tuple[float, float] = (4.8, 3.4),
    rows: int = 1,
    forms: Sequence[str] = ("png", "svg"),
    **grid: Any,
) -> Iterator[Sequence[Any]]:
    """Yield axes to draw on; then write ``stem.png`` and ``stem.svg``, each whole or not at all.

    Parameters
    ----------
    stem : path
        Of the files, without an ending.
    columns, rows : int
        Of axes.
    size : tuple of float
        Width and height of each, in inches.
    forms : sequence of str
        Which of the two files.
    **grid
        For matplotlib's ``subplots``.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        made = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        yield made.subplots(rows, columns, squeeze=False, **grid).ravel().tolist()
        for form in forms:
            file = BytesIO()
            made.savefig(file, format=form, **_HOW[form])
            write_whole(f"{stem}.{form}", file.getvalue())


def legend_above(axis: Any, columns: int = 3) -> None:
    """Draw the legend above all axes, what is drawn last first: in them it may hide something."""
    lines, names = (part[::-1] for part in axis.get_legend_handles_labels())
    how = {"loc": "outside upper center", "frameon": False, "columnspacing": 1.2}
    axis.figure.legend(lines, names, ncols=columns, handlelength=1.6, **how)


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
        legend_above(axes[0])
