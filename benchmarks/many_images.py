"""A store of very many images: what each command takes that touches few of them.

::

    python benchmarks/many_images.py work/                    # 100,000 images of 16 pixels
    python benchmarks/many_images.py work/ --images 1000

The images are tiny and the features are `builtin:filters` at 8x8, so that the number of images is
all that counts. Each command runs in a process of its own: planning and extracting all, the same
again with nothing to do, a dry run, `info`, `fit` on ten images, `predict` of ten. Peaks are those
of resident memory, interpreter and libraries included. The same call goes on where it stopped.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from whole_job import run

SIDE, PER_FOLDER, LABELLED = 16, 1000, 10


def draw(photos: Path, labels: Path, count: int) -> list[str]:
    """Write images in folders of a thousand, and label maps of ten; return the stems of these."""
    rng, few = np.random.default_rng(0), []
    for number in range(count):
        folder, stem = f"{number // PER_FOLDER:04d}", f"{number:07d}"
        path = photos / folder / f"{stem}.png"
        if path.exists() and number >= LABELLED:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        label = np.zeros((SIDE, SIDE), np.uint8)
        top, left = rng.integers(2, 8, 2)
        label[top : top + 6, left : left + 6] = 1
        pixels = rng.integers(0, 120, (SIDE, SIDE, 3)) + 120 * label[..., None]
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        if number < LABELLED:
            (labels / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(label).save(labels / folder / f"{stem}.png")
            few.append(f"{folder}/{stem}")
    (labels / "classes.txt").write_text("ground\nthing\n")
    return few


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    given = parser.parse_args()
    work = (given.work / str(given.images)).absolute()
    photos, labels, store = work / "photos", work / "labels", work / "feats.zarr"
    few = work / "few.txt"
    few.parent.mkdir(parents=True, exist_ok=True)
    few.write_text("".join(f"{stem}\n" for stem in draw(photos, labels, given.images)))
    of_all = ["extract", "--images", photos, "--out", store, "--checkpoint", "builtin:filters"]
    of_all += ["--size", "8"]
    model, bound = work / "model", ["--members", "2", "--max-steps", "20", "--overwrite"]
    predicted = ["--model", model, "--list", few, "--out", work / "masks", "--overwrite"]
    commands = {
        "extract": of_all,
        "extract, nothing to do": of_all,
        "extract --dry-run": [*of_all, "--dry-run"],
        "info": ["info", store],
        "fit on ten": ["fit", store, labels, "--list", few, "--out", model, *bound],
        "predict of ten": ["predict", store, *predicted],
    }
    lines = []
    for name, words in commands.items():
        seconds, peak = run([*map(str, words), *([] if words[0] == "info" else ["-q"])], work)
        lines.append(f"| {name} | {given.images} | {seconds:.1f} | {peak:.0f} |")
    print("| command | images | seconds | peak, MB |\n| --- | --- | --- | --- |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
