"""Whether memory stays flat and time grows in proportion: the whole job on few and on many images.

::

    python benchmarks/scale.py                  # 10 and 200 drawn scenes of 64 pixels
    python benchmarks/scale.py --images 1000    # a quarter of an hour on two CPU cores

With the default features, each command in a process of its own: `dseg extract`, `dseg fit`
(the same 8 labelled images, `--memory`), `dseg predict` from the store and straight from the
images. Peaks are those of resident memory, interpreter and libraries included. The whole job runs
once beforehand, unmeasured: a first run also compiles and fills caches.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from drawn import write_job
from whole_job import run

SIDE, LABELLED, FEW = 64, 8, 10
ROOM = 1.05


def job(folder: Path, count: int, memory: str, steps: int) -> dict[str, tuple[float, float]]:
    """Run the commands on so many images; return seconds and peak MB of each."""
    photos, store, model = folder / "photos", folder / "feats.zarr", folder / "model"
    write_job(folder, SIDE, count, LABELLED)
    bounds = ["--memory", memory, "--max-steps", steps]
    commands = {
        "extract": ["extract", "--images", photos, "--out", store],
        "fit": ["fit", store, folder / "labels", "--out", model, *bounds],
        "predict a store": ["predict", store, "--model", model, "--out", folder / "masks"],
        "predict images": ["predict", photos, "--model", model, "--out", folder / "masks2"],
    }
    return {name: run([*map(str, words), "-q"], folder) for name, words in commands.items()}


def compare(images: int, memory: str, steps: int) -> list[str]:
    """Return the lines of the report."""
    measured = {}
    for count in (FEW, FEW, images):  # the first is for the caches
        with TemporaryDirectory() as folder:
            measured[count] = job(Path(folder), count, memory, steps)
    lines = []
    for name, (few_seconds, few_mb) in measured[FEW].items():
        many_seconds, many_mb = measured[images][name]
        each = (many_seconds - few_seconds) / (images - FEW)
        flat = "" if name == "fit" or many_mb <= ROOM * few_mb else "  NOT FLAT"
        lines.append(
            f"{name:16s} {few_mb:6.0f} MB at {FEW} images, {many_mb:6.0f} MB at {images} "
            f"({many_mb / few_mb:.3f}); {few_seconds:6.1f} s, {many_seconds:6.1f} s"
            + (f", {1000 * each:.0f} ms an image" if name != "fit" else "")
            + flat
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="the many (200)")
    parser.add_argument("--memory", default="400MB", help="of the fit (400MB)")
    parser.add_argument("--max-steps", type=int, default=300, help="of the fit (300)")
    given = parser.parse_args()
    if given.images <= FEW:
        parser.error(f"--images: more than {FEW}")
    lines = compare(given.images, given.memory, given.max_steps)
    print("\n".join(lines))
    if any(line.endswith("NOT FLAT") for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
