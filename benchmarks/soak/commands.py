"""The commands that are interrupted, small images for them, what is compared of their results."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "tests" / "helpers"))
from fork_client import Result

IMAGES, LABELLED, SIDE = 24, 4, 40
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
ALONE = {**os.environ, **ONE_THREAD}


@dataclass(frozen=True)
class Command:
    """A command that is interrupted.

    ``words`` come after its name and before ``--out``; ``compared`` are the patterns of the files
    that must be those of the undisturbed run, and ``complete`` counts what is complete in what an
    interrupted run has left. ``verified``: whether `dseg verify` knows its result.
    """

    name: str
    words: tuple[object, ...]
    compared: tuple[str, ...] = ("**/*",)
    complete: Callable[[Path], int] | None = None
    verified: bool = True

    def line(self, out: Path) -> list[str]:
        """Return the command line, from the interpreter on."""
        return [sys.executable, "-m", "dseg", *self.call(out)]

    def call(self, out: Path) -> list[str]:
        """Return the words after `dseg`."""
        command = "extract" if self.name == "cluster" else self.name
        return [command, *map(str, self.words), "--out", str(out), "--json", "-q"]


def lines_in(name: str, files: str) -> Callable[[Path], int]:
    """Return what counts the lines of a record of a folder, at most as many as files it is of."""

    def count(out: Path) -> int:
        file = out / name
        lines = file.read_bytes().count(b"\n") if file.is_file() else 0
        return min(lines, len(list(out.glob(files))))

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
            complete=lines_in("predictions.jsonl", "*.png"),
        ),
        Command("sample", ("--count", 8, *drawing), complete=lines_in("samples.jsonl", "*.png")),
        Command(
            "synthesize",
            ("--model", model, "--checkpoint", "builtin:dseg-64", "--count", 6, *drawing),
            complete=lines_in("synthetic.jsonl", "labels/*.png"),
        ),
        Command(
            "pretrain",
            (
                "--images",
                photos,
                "--size",
                32,
                "--network",
                "tiny",
                *training,
                "--steps",
                15,
                "--sheets",
                0,
            ),
            weights,
        ),
        Command(
            "distil",
            (photos, labels, "--model", model, "--size", 64, *training, "--steps", 12),
            ("student.safetensors",),
        ),
        Command(
            "curve",
            (store, labels, "--counts", "1,2", "--draws", 2, *quick),
            ("curve.json",),
            verified=False,
        ),
    ]


def run_whole(command: Command, out: Path, *more: str) -> dict[str, Any]:
    """Run to the end; return what it tells."""
    line = [*command.line(out), *more]
    made = subprocess.run(line, capture_output=True, text=True, env=ALONE)
    if made.returncode != 0:
        raise RuntimeError(f"{command.name}: exit code {made.returncode}: {made.stderr[-500:]}")
    return dict(json.loads(made.stdout))


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


def lost_after(
    command: Command,
    words: list[str],
    out: Path,
    run: Callable[[list[str]], Result],
    expected: dict[str, bytes],
) -> list[str]:
    """Run an interrupted command again, undisturbed; return what was lost.

    Parameters
    ----------
    command : Command
    words : list of str
        Of its repeated run.
    out : Path
    run : callable
        Runs a command line.
    expected : dict
        What `content` gives of an undisturbed run.
    """
    done = command.complete(out) if command.complete else 0
    again = run(words)
    if again.code != 0:
        return [f"next run: exit code {again.code}: {again.err[-500:]}"]
    lost = []
    if command.complete and (kept := int(json.loads(again.out)["unchanged"])) < done:
        lost.append(f"{done} were complete, {kept} kept")
    if command.verified:
        checked = run(["verify", str(out), "--repair", "-q"])
        if checked.code != 0:
            lost.append(f"verify: {checked.out[-300:]}{checked.err[-300:]}")
    found = content(command, out)
    if found != expected:
        names = sorted(found.keys() | expected.keys())
        other = [name for name in names if found.get(name) != expected.get(name)]
        lost.append(f"other bytes in {other[:5]}")
    if left := left_over(out):
        lost.append(f"left over: {left[:5]}")
    return lost


def without_times(plain: object) -> object:
    if isinstance(plain, dict):
        return {k: without_times(v) for k, v in plain.items() if "second" not in k}
    return [without_times(one) for one in plain] if isinstance(plain, list) else plain


def left_over(out: Path) -> list[str]:
    """Return what interrupted runs have left beside the result, or in it."""
    beside = [path for path in out.parent.iterdir() if path.name.startswith(".")]
    within = [p for p in out.rglob("*") if p.name.startswith(".") or ".partial" in p.name]
    return sorted(path.name for path in (*beside, *within))
