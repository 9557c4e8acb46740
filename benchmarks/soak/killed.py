"""Kill each command at random moments: the next run finishes, and the result is that of one run.

    python benchmarks/soak/killed.py --kills 30 --seed 0

Each command runs once undisturbed on a few small images, and is timed. Then, again and again, it is
started into an empty place, killed (SIGKILL) at a moment that the seed chooses within that time,
and repeated. Counted as lost: a repeated run that fails; one that makes anew what was complete; a
result with other bytes than the undisturbed one's (of networks: their weights; of a curve: all but
times); a file that is left over after `dseg verify --repair`. Of `cluster`, an extraction by two
worker processes, one of these is killed in mid-run instead. The last line is the result; exit code
1 if anything was lost.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from PIL import Image

IMAGES, LABELLED, SIDE = 24, 4, 40
ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


@dataclass(frozen=True)
class Command:
    """A command that is killed.

    ``words`` come after its name and before ``--out``; ``compared`` are the patterns of the files
    that must be those of the undisturbed run, and ``complete`` counts what is complete in what a
    killed run has left.
    """

    name: str
    words: tuple[object, ...]
    compared: tuple[str, ...] = ("**/*",)
    complete: Callable[[Path], int] | None = None
    verified: bool = True

    def line(self, out: Path) -> list[str]:
        command = "extract" if self.name == "cluster" else self.name
        line = [sys.executable, "-m", "dseg", command, *map(str, self.words), "--out", str(out)]
        return [*line, "--json", "-q"]


def lines_in(name: str) -> Callable[[Path], int]:
    """Return what counts the lines of a file of a folder."""

    def count(out: Path) -> int:
        file = out / name
        return file.read_bytes().count(b"\n") if file.is_file() else 0

    return count


def flags(out: Path) -> int:
    """Count the complete images of a store."""
    folder = out / "complete" / "c"
    return sum(p.name.isdecimal() for p in folder.iterdir()) if folder.is_dir() else 0


def world(root: Path) -> list[Command]:
    """Draw images, and return the commands."""
    photos, labels = root / "photos", root / "labels"
    photos.mkdir(parents=True)
    labels.mkdir()
    for number in range(IMAGES):
        rng = np.random.default_rng(number)
        label = np.zeros((SIDE, SIDE), np.uint8)
        label[8:28, 6 + number % 8 : 26] = 1
        pixels = (rng.integers(0, 120, (SIDE, SIDE, 3)) + 120 * label[..., None]).astype(np.uint8)
        Image.fromarray(pixels).save(photos / f"p{number:02}.png")
        if number < LABELLED:
            Image.fromarray(label).save(labels / f"p{number:02}.png")
    (labels / "classes.txt").write_text("ground\nthing\n")
    store, model = root / "base.zarr", root / "base-model"
    features = ("--images", photos, "--checkpoint", "builtin:filters", "--size", 32)
    quick = ("--members", 2, "--max-steps", 100)
    drawing = ("--steps", 3, "--size", 32, "--batch-size", 2)
    training = ("--batch-size", 4, "--save-every", "1s")
    run_whole(Command("extract", features), store)
    run_whole(Command("fit", (store, labels, *quick)), model)
    weights = ("**/*.safetensors",)
    return [
        Command("extract", features, complete=flags),
        Command("cluster", (*features, "--workers", 2)),
        Command("fit", (store, labels, *quick, "--overwrite"), ("members.safetensors",)),
        Command(
            "predict",
            (photos, "--model", model, "--uncertainty"),
            complete=lines_in("predictions.jsonl"),
        ),
        Command("sample", ("--count", 8, *drawing), complete=lines_in("samples.jsonl")),
        Command(
            "synthesize",
            ("--model", model, "--checkpoint", "builtin:dseg-64", "--count", 6, *drawing),
            complete=lines_in("synthetic.jsonl"),
        ),
        Command(
            "pretrain",
            ("--images", photos, "--size", 16, "--network", "tiny", *training, "--steps", 40),
            weights,
            verified=False,
        ),
        Command(
            "distil",
            (photos, labels, "--model", model, "--size", 64, *training, "--steps", 12),
            ("student.safetensors",),
        ),
        Command(
            "curve",
            (store, labels, "--counts", "2,3", "--draws", 2, *quick),
            ("curve.json",),
            verified=False,
        ),
    ]


def run_whole(command: Command, out: Path) -> dict[str, object]:
    """Run to the end; return what it tells."""
    made = subprocess.run(command.line(out), capture_output=True, text=True, env=ALONE)
    if made.returncode != 0:
        raise RuntimeError(f"{command.name}: exit code {made.returncode}: {made.stderr[-500:]}")
    return dict(json.loads(made.stdout))


def kill_at(command: Command, out: Path, moment: float) -> bool:
    """Start it, kill it after some seconds; return whether it was still running."""
    made = subprocess.Popen(
        command.line(out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ALONE,
        start_new_session=True,
    )
    try:
        made.wait(moment)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(made.pid, signal.SIGKILL)
        made.wait()
        return True


def kill_worker(command: Command, out: Path, moment: float) -> bool:
    """Run it to the end, and kill one of its workers after some seconds."""
    made = subprocess.Popen(
        command.line(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ALONE
    )
    time.sleep(moment)
    workers = [
        child
        for child in psutil.Process(made.pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]
    if workers and made.poll() is None:
        random.Random(moment).choice(workers).kill()
    error = made.communicate()[1].decode()
    if made.returncode != 0:
        raise RuntimeError(f"cluster: exit code {made.returncode}: {error[-500:]}")
    return bool(workers)


def content(command: Command, out: Path) -> dict[str, bytes]:
    """Return what is compared."""
    found = {}
    for pattern in command.compared:
        for file in sorted(out.glob(pattern)):
            if file.is_file():
                data = file.read_bytes()
                if file.name == "curve.json":
                    data = json.dumps(without_times(json.loads(data)), sort_keys=True).encode()
                found[file.relative_to(out).as_posix()] = data
    return found


def without_times(plain: object) -> object:
    if isinstance(plain, dict):
        return {k: without_times(v) for k, v in plain.items() if "second" not in k}
    return [without_times(one) for one in plain] if isinstance(plain, list) else plain


def left_over(out: Path) -> list[str]:
    """Return what killed runs have left beside the result, or in it."""
    beside = [path for path in out.parent.iterdir() if path.name.startswith(".")]
    within = [p for p in out.rglob("*") if p.name.startswith(".") or ".partial" in p.name]
    return sorted(path.name for path in (*beside, *within))


def soak(command: Command, root: Path, kills: int, rng: random.Random) -> tuple[int, list[str]]:
    """Kill a command some times; return how often it was caught running, and what was lost."""
    whole = root / "whole" / command.name
    start = time.monotonic()
    run_whole(command, whole)
    took, expected = time.monotonic() - start, content(command, whole)
    caught, lost = 0, list[str]()
    for number in range(kills):
        out = root / "killed" / f"{command.name}-{number}" / "out"
        out.parent.mkdir(parents=True)
        moment = rng.uniform(0, took)
        where = f"{command.name}, killed after {moment:.2f} s"
        try:
            if command.name == "cluster":
                caught += kill_worker(command, out, moment)
            else:
                caught += kill_at(command, out, moment)
            done = command.complete(out) if command.complete else 0
            told = run_whole(command, out)
            if command.complete and int(str(told["unchanged"])) < done:
                lost.append(f"{where}: {done} were complete, {told['unchanged']} kept")
            if command.verified:
                line = [sys.executable, "-m", "dseg", "verify", str(out), "--repair", "-q"]
                checked = subprocess.run(line, capture_output=True, text=True, env=ALONE)
                if checked.returncode:
                    lost.append(f"{where}: verify: {checked.stdout[-300:]}{checked.stderr[-300:]}")
            found = content(command, out)
            if found != expected:
                names = sorted(found.keys() | expected.keys())
                other = [name for name in names if found.get(name) != expected.get(name)]
                lost.append(f"{where}: other bytes in {other[:5]}")
            if left := left_over(out):
                lost.append(f"{where}: left over: {left[:5]}")
        except RuntimeError as error:
            lost.append(f"{where}: {error}")
        shutil.rmtree(out.parent)
    return caught, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands, separated by commas")
    given = parser.parse_args()
    rng, total, caught_all = random.Random(given.seed), list[str](), 0
    with TemporaryDirectory() as folder:
        root = Path(folder)
        only = set(filter(None, given.only.split(",")))
        for command in world(root):
            if only and command.name not in only:
                continue
            caught, lost = soak(command, root, given.kills, rng)
            print(f"{command.name}: {given.kills} kills, {caught} in mid-run", flush=True)
            for line in lost:
                print(f"  LOST {line}", flush=True)
            total, caught_all = total + lost, caught_all + caught
    print(f"{caught_all} runs killed in mid-run, {len(total)} losses")
    sys.exit(bool(total))


if __name__ == "__main__":
    main()
