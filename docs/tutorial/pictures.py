"""The pictures of docs/tutorial.md, from the folder in which its commands were run::

    python docs/tutorial/pictures.py FOLDER labels.png 00,03,05,08,11
    python docs/tutorial/pictures.py FOLDER masks.png 35,20,26,15,38

``curve.png`` is what `dseg curve` wrote, at a smaller size.
"""

import sys
from io import BytesIO
from pathlib import Path

import matplotlib
import matplotlib.patches
import numpy as np
from dseg.demo.scenes import CLASSES, COLOURS
from matplotlib.figure import Figure
from PIL import Image

matplotlib.use("agg")
COLOUR_TABLE = np.array(COLOURS, np.uint8)


def draw(work: Path, names: list[str], kinds: list[str]) -> bytes:
    """Return a picture with a column for each image, and a row for each kind of what is shown."""
    figure = Figure(figsize=(1.6 * len(names), 1.6 * len(kinds) + 0.6), layout="constrained")
    axes = figure.subplots(len(kinds), len(names), squeeze=False)
    for row, kind in enumerate(kinds):
        axes[row, 0].set_title(kind, loc="left", fontsize=8)
        for axis, name in zip(axes[row], names, strict=True):
            show(axis, work, kind, name)
            axis.axis("off")
    patches = [matplotlib.patches.Patch(color=np.array(colour) / 255) for colour in COLOURS]
    figure.legend(patches, CLASSES, loc="outside lower center", ncols=6, fontsize=7, frameon=False)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=90)
    small = BytesIO()
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def show(axis, work: Path, kind: str, name: str) -> None:
    """Draw one panel."""
    if kind == "uncertainty":
        axis.imshow(np.load(work / f"masks/uncertainty/{name}.npy"), cmap="magma", vmin=0, vmax=0.4)
        return
    folder = {"image": "photos", "label map": "labels", "mask": "masks"}[kind]
    pixels = np.asarray(Image.open(work / folder / f"{name}.png"))
    shown = pixels if kind == "image" else COLOUR_TABLE[pixels]
    axis.imshow(shown, interpolation="antialiased" if kind == "image" else "nearest")


def main() -> None:
    """Draw the picture that is named, of the images that are named."""
    work, target, names = Path(sys.argv[1]), Path(__file__).with_name(sys.argv[2]), sys.argv[3]
    kinds = {
        "labels.png": ["image", "label map"],
        "masks.png": ["image", "mask", "uncertainty"],
    }
    target.write_bytes(draw(work, names.split(","), kinds[target.name]))


if __name__ == "__main__":
    main()
