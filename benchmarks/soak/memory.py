"""Each stage within the memory that its `--dry-run` names, and in too little.

    python benchmarks/soak/memory.py

A control group of Linux bounds the memory of each command, its files in the page cache included:
first to what `--dry-run --json` says that the run will hold, and a tenth more, where it must end
well; then to 0.4 of that, where the kernel kills it, or it ends with a message. The next
run, without a bound, must then end with the result of an undisturbed one. Needs a user who may
make control groups (root). Exit code 1 if anything else happened.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).parents[1]))
from commands import ALONE
from drawn import write_job

SIDE, IMAGES, LABELLED = 256, 12, 6
MORE, LESS = 1.1, 0.4
SECONDS = 300  # a process in too little memory may read its libraries again and again
GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Stage:
    """A command, and the patterns of the files that tell its result."""

    words: tuple[object, ...]
    compared: tuple[str, ...] = ("**/*",)


def stages(root: Path) -> dict[str, Stage]:
    photos, labels, drawing = root / "photos", root / "labels", ("--count", 4, "--steps", 5)
    model, weights = root / "model", ("**/*.safetensors",)
    training = ("--batch-size", 4, "--steps", 5)
    from_images = (photos, "--model", model)
    return {
        "extract": Stage(("extract", "--images", photos)),
        "fit": Stage(("fit", root / "feats.zarr", labels, "--memory", "300MB"), weights),
        "predict": Stage(("predict", *from_images)),
        "predict a store": Stage(("predict", root / "feats.zarr", "--model", model)),
        "sample": Stage(("sample", *drawing)),
        "synthesize": Stage(
            ("synthesize", "--model", model, "--checkpoint", "builtin:dseg-64", *drawing)
        ),
        "distil": Stage(("distil", photos, labels, "--model", model, *training), weights),
        "pretrain": Stage(
            ("pretrain", "--images", photos, "--size", 64, "--sheets", 0, *training), weights
        ),
    }


@contextmanager
def control_group(limit: int) -> Iterator[Path]:
    """Yield the file that takes in the processes of a new group, bounded to so many bytes."""
    second = (GROUPS / "cgroup.controllers").is_file()
    group = GROUPS / ("" if second else "memory") / f"dseg-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.max" if second else "memory.limit_in_bytes")).write_text(str(limit))
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def run(
    words: tuple[object, ...], out: Path, limit: int | None = None, *more: str
) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what it told."""
    command = [sys.executable, "-m", "dseg", *map(str, words), "--out", str(out), "-q", *more]
    if limit is None:
        made = subprocess.run(command, capture_output=True, text=True, env=ALONE)
    else:
        with control_group(limit) as members:
            joined = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', members, *command]
            try:
                made = subprocess.run(
                    joined, capture_output=True, text=True, env=ALONE, timeout=SECONDS
                )
            except subprocess.TimeoutExpired:
                return -9, "", ""
    return made.returncode, made.stdout, made.stderr


def files(stage: Stage, out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for pattern in stage.compared
        for path in sorted(out.glob(pattern))
        if path.is_file()
    }


def try_stage(name: str, stage: Stage, root: Path) -> list[str]:
    """Run a stage in much, enough and too little memory; print a line; return what went wrong."""
    outs = {way: root / f"{name}-{way}" for way in ("whole", "bounded", "starved")}
    code, told, err = run(stage.words, outs["whole"], None, "--dry-run", "--json")
    if code != 0:
        return [f"{name}: --dry-run: exit code {code}: {err}"]
    peak = int(json.loads(told)["peak_memory"])
    code, _, err = run(stage.words, outs["whole"])
    if code != 0:
        return [f"{name}: exit code {code}: {err}"]
    expected, wrong = files(stage, outs["whole"]), []
    code, _, err = run(stage.words, outs["bounded"], int(MORE * peak))
    if code != 0:
        wrong.append(f"{name} in {MORE * peak / 1e6:.0f} MB: exit code {code}: {err}")
    elif files(stage, outs["bounded"]) != expected:
        wrong.append(f"{name}: another result in bounded memory")
    ended, _, err = run(stage.words, outs["starved"], int(LESS * peak))
    if ended not in (-9, 0, 1) or "Traceback" in err:
        wrong.append(f"{name} in {LESS * peak / 1e6:.0f} MB: exit code {ended}: {err}")
    code, _, err = run(stage.words, outs["starved"], None, *(["--overwrite"] if not ended else []))
    if code != 0:
        wrong.append(f"{name} after {ended}: exit code {code}: {err}")
    elif files(stage, outs["starved"]) != expected:
        wrong.append(f"{name}: another result after {ended}")
    how = {-9: "killed", 0: "done", 1: f"a message ({err.strip()[:80]})"}
    print(f"| {name} | {peak / 1e6:.0f} | {'lost' if wrong else how[ended]} |", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="stages, separated by commas")
    given = parser.parse_args()
    only, wrong = set(filter(None, given.only.split(","))), list[str]()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_job(root, SIDE, IMAGES, LABELLED)
        for words, out in (
            (("extract", "--images", root / "photos"), root / "feats.zarr"),
            (("fit", root / "feats.zarr", root / "labels"), root / "model"),
        ):
            code, _, err = run(words, out)
            assert code == 0, err
        print("| stage | told, MB | in 0.4 of it |\n| --- | --- | --- |")
        for name, stage in stages(root).items():
            if not only or name in only:
                wrong += try_stage(name, stage, root)
    print("\n".join([*wrong, f"{len(wrong)} of the stages did not do as told"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
