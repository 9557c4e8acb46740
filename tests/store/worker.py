"""A process that extracts: run by the tests, which kill it. Not a test itself.

worker.py STORE N [PART PARTS]
    Plan N images and write every PARTS-th from PART.
worker.py STORE N --killed
    For each line on standard input, a key: do so in a fork that dies by SIGKILL in the middle of
    writing that key, and print its exit code. Forks, for the imports take longer than the work.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np
import zarr.storage._local as local
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store

LAYERS = tuple(
    LayerSpec(50, block, channels, side, side) for block, channels, side in ((5, 6, 4), (6, 2, 8))
)
SPEC = FeatureSpec({"sha256": "00"}, "here", (16, 16), "tile", 0, 0, LAYERS)


def image(number: int) -> PlannedImage:
    """Every second image has two rows."""
    return PlannedImage(f"{number}.png", (16 + 16 * (number % 2), 16))


def rows(number: int) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(number)
    return [
        {
            "4x4": generator.normal(size=(6, 4, 4)).astype(np.float16),
            "8x8": generator.normal(size=(2, 8, 8)).astype(np.float16),
        }
        for _ in range(1 + number % 2)
    ]


def sha256(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def work(path: Path, n: int, part: int = 0, parts: int = 1) -> list[int]:
    """Plan, then write what is not there; return what was written."""
    plan = plan_store(path, SPEC, [image(i) for i in range(n)])
    writer, written = FeatureWriter(path), []
    for number in range(part, n, parts):
        index = plan.indices[f"{number}.png"]
        if not writer.is_current(index, sha256(number)):
            counts = np.full(len(LAYERS), number)
            writer.write_image(
                index, rows(number), sha256=sha256(number), nonfinite=counts, clipped=counts
            )
            written.append(number)
    return written


def die_writing(fatal: Path) -> None:
    """Have this process killed while it writes a key: half of it is in the partial file."""
    write_key = local._put

    def put(path, value, exclusive=False):
        if path == fatal:
            path.parent.mkdir(parents=True, exist_ok=True)
            half = value.to_bytes()[: len(value) // 2]
            path.with_suffix(".0.partial").write_bytes(half)
            os.kill(os.getpid(), signal.SIGKILL)
        return write_key(path, value, exclusive)

    local._put = put


if __name__ == "__main__":
    store, n, *rest = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    if rest == ["--killed"]:
        for line in sys.stdin:
            pid = os.fork()
            if not pid:
                die_writing(store / line.strip())
                work(store, n)
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    else:
        work(store, n, *map(int, rest))
