"""One picture of what went in and what came out: image, mask, truth, uncertainty; a legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Example", "draw_picture"]

COLUMNS = ("image", "mask", "truth", "uncertainty")
PANEL, BELOW = 2.56, 0.9  # inches: a panel's width; legend and note


@dataclass(frozen=True)
class Example:
    """One row of the picture, all of one height and width.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    mask, truth : uint8 arrays of shape (H, W)
        Class ids.
    uncertainty : float array of shape (H, W)
        In nats, 0 where all members agree.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    uncertainty: NDArray[np.floating]


def draw_picture(
    examples: Sequence[Example],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    note: str = "",
) -> bytes:
    """Draw examples one below the other, under a line of words; a legend of the classes below.

    Parameters
    ----------
    examples : sequence of Example
        At least one; all of one size.
    names, colours : sequences
        Of each class.
    note : str
        The line of words.

    Returns
    -------
    bytes
        A PNG. The uncertainty of all examples has one scale, from 0 to the largest value shown.
    """
    file = BytesIO()
    _figure(examples, names, colours, note).savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


def _figure(
    examples: Sequence[Example],
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    note: str,
) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    height, width = examples[0].mask.shape
    rows, table = len(examples), np.array(colours, np.uint8)
    top = max(float(max(example.uncertainty.max() for example in examples)), 1e-6)
    size = (len(COLUMNS) * PANEL, rows * PANEL * height / width + BELOW)
    figure = Figure(size, dpi=120, layout="compressed")
    axes = figure.subplots(rows, len(COLUMNS), squeeze=False)
    for line, example in zip(axes, examples, strict=True):
        shown = (example.image, table[example.mask], table[example.truth], example.uncertainty)
        for axis, pixels in zip(line, shown, strict=True):  # colours are as they are in RGB
            image = axis.imshow(pixels, cmap="Blues", vmin=0, vmax=top, interpolation="nearest")
            axis.set_axis_off()
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title)
    figure.colorbar(image, ax=axes, label="uncertainty in nats", shrink=0.4, pad=0.01)
    patches = [
        Patch(facecolor=colour / 255, edgecolor="0.2", label=name)
        for name, colour in zip(names, table, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=-(-len(names) // 2))
    figure.suptitle(note, fontsize="large")
    return figure
