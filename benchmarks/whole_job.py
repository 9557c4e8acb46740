"""The whole job on real images, command by command: time, size and peak memory of each.

The folder has images/, labels/, train.txt and test.txt (stems, one a line)::

    python benchmarks/whole_job.py data/car_parts ddpm.pt --extract "--head-channels 16"

Peak memory is that of the command's own process, interpreter and libraries included.
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path


def run(words: list[str], folder: Path) -> tuple[float, float]:
    """Run dseg; return seconds and peak MB."""
    print("$ dseg", shlex.join(words), flush=True)
    start = time.monotonic()
    child = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "dseg", *words])
    _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"dseg {words[0]} failed in {folder}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - start, usage.ru_maxrss * unit / 1e6


def size_of(path: Path) -> float:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(f.stat().st_size for f in files if f.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("checkpoint")
    parser.add_argument("--extract", default="", help="more words for `dseg extract`")
    parser.add_argument("--fit", default="", help="more words for `dseg fit`")
    parser.add_argument("--work", type=Path, help="where to write; by default a temporary folder")
    given = parser.parse_args()
    data, work = given.data.resolve(), given.work or Path(tempfile.mkdtemp())
    checkpoint = str(Path(given.checkpoint).resolve())
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    given.extract += f" --checkpoint {shlex.quote(checkpoint)}"
    images, labels = str(data / "images"), str(data / "labels")
    train, test = str(data / "train.txt"), str(data / "test.txt")
    commands = [
        ["extract", "--images", images, "--out", "feats.zarr", *shlex.split(given.extract)],
        ["fit", "feats.zarr", labels, "--list", train, *shlex.split(given.fit)],
        ["predict", "feats.zarr"],
        ["predict", images, "--list", test, "--out", "masks-from-images"],
        ["evaluate", "masks", labels, "--list", test],
    ]
    written = ["feats.zarr", "model", "masks", "masks-from-images", ""]
    rows = []
    for words, out in zip(commands, written, strict=True):
        seconds, peak = run(words, work)
        size = f"{size_of(work / out):.1f}" if out else "–"
        rows.append(f"| {' '.join(words[:1])} | {seconds:.0f} | {size} | {peak:.0f} |")
    print("\n| command | seconds | MB written | peak MB |\n| --- | --- | --- | --- |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
