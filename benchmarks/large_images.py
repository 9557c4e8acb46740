"""Read large images as earlier versions did, whole, and as it is now: time and peak memory.

    python benchmarks/large_images.py

A JPEG of 108 megapixels and TIFFs of 14,000 × 14,000 are drawn into a temporary folder. Each is
read in a process of its own, by turns, for the three input sizes of the default features, and then
extracted by them; the JPEG also in tiles of 512 pixels, the first hundred of them. Earlier versions
refused the TIFFs: "before" is what they would have taken.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import tifffile
from dseg.extract.images.network_input import ImageRows
from dseg.extract.images.reading import open_pixels
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.training.memory import peak_resident
from dseg.store.geometry import plan_tiles
from PIL import Image

SIZES = [(128, 128), (256, 256), (512, 512)]
TILES = 100


def whole(path: Path) -> np.ndarray:
    """Return an image as earlier versions decoded it."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def squash_before(path: Path) -> None:
    image = whole(path)
    for height, width in SIZES:
        np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def squash_now(path: Path) -> None:
    open_pixels(path, least=SIZES[-1]).prepare(SIZES)


def tiles_before(path: Path) -> None:
    image = whole(path)
    _cut(ImageRows(image, plan_tiles(image.shape[:2], SIZES[-1], "tile", 128)))


def tiles_now(path: Path) -> None:
    pixels = open_pixels(path)
    _cut(ImageRows(pixels, plan_tiles(pixels.size, SIZES[-1], "tile", 128)))


def extract_now(path: Path) -> None:
    with TemporaryDirectory() as folder:
        extract(ExtractConfig(path, Path(folder) / "f.zarr"))


JOBS = {job.__name__: job for job in (squash_before, squash_now, tiles_before, tiles_now)}
JOBS["extract_now"] = extract_now


def _cut(rows: ImageRows) -> None:
    for row in range(min(TILES, len(rows))):
        rows[row]


def measured(job: str, path: Path) -> dict[str, float]:
    """Do a job in a process of its own."""
    command = [sys.executable, __file__, "--job", job, "--path", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report_job(job: str, path: Path) -> None:
    """Do a job here, and print its seconds and the bytes beyond those of the imports."""
    before = peak_resident()
    start = perf_counter()
    JOBS[job](path)
    seconds = perf_counter() - start
    print(json.dumps({"seconds": seconds, "MB": (peak_resident() - before) / 1e6}))


def drawn(height: int, width: int) -> np.ndarray:
    """Return an image of soft shapes and noise."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 100, width // 100, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def files(folder: Path, scale: float) -> dict[str, Path]:
    """Draw the images."""
    side, jpeg = int(14_000 * scale), (int(9000 * scale), int(12_000 * scale))
    found = {}
    found[f"JPEG {jpeg[1]}×{jpeg[0]}"] = folder / "a.jpg"
    Image.fromarray(drawn(*jpeg)).save(folder / "a.jpg", quality=90)
    image, options = drawn(side, side), {"photometric": "rgb"}
    found[f"TIFF {side}×{side}, tiles, Deflate"] = folder / "b.tif"
    tifffile.imwrite(folder / "b.tif", image, tile=(512, 512), compression="zlib", **options)
    found[f"TIFF {side}×{side}, as is"] = folder / "c.tif"
    tifffile.imwrite(folder / "c.tif", image, **options)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the sides, to try it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--path", type=Path)
    given = parser.parse_args()
    if given.job:
        report_job(given.job, given.path)
        return
    print("| image | job | seconds | peak MB beyond the imports |\n| --- | --- | --- | --- |")
    with TemporaryDirectory() as folder:
        for name, path in files(Path(folder), given.scale).items():
            jobs = [job for job in JOBS if job != "extract_now"]
            rounds = [{job: measured(job, path) for job in jobs} for _ in range(given.rounds)]
            rounds[0]["extract_now"] = measured("extract_now", path)
            for job in rounds[0]:
                each = [one[job] for one in rounds if job in one]
                best = min(one["seconds"] for one in each)
                most = max(one["MB"] for one in each)
                print(f"| {name} | {job} | {best:.1f} | {most:.0f} |", flush=True)


if __name__ == "__main__":
    main()
