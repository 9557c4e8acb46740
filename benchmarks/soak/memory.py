"""Each command within the memory that its `--dry-run` names, and in too little.

    python benchmarks/soak/memory.py

A control group of Linux bounds the memory of each command, its files in the page cache included:
first to what `--dry-run --json` says that the run will hold, and a tenth more, where it must end
well; then to 0.4 of that, where the kernel kills it, or it ends with a message. The next
run, without a bound, must then end with the result of an undisturbed one. Needs a user who may
make control groups (root). Exit code 1 if anything else happened.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).parents[1]))
from commands import ALONE, Command, content, run_whole
from drawn import write_job
from fork_client import Result

SIDE, IMAGES, LABELLED = 256, 12, 6
MORE, LESS = 1.1, 0.4
SECONDS = 300  # a process in too little memory may read its libraries again and again
GROUPS = Path("/sys/fs/cgroup")


def commands(root: Path) -> list[Command]:
    """Return the commands, with what they need in a folder."""
    photos, labels, drawing = root / "photos", root / "labels", ("--count", 4, "--steps", 5)
    model, weights = root / "model", ("**/*.safetensors",)
    training = ("--batch-size", 4, "--steps", 5)
    synthetic = ("--model", model, "--checkpoint", "builtin:dseg-64", *drawing)
    return [
        Command("extract", ("--images", photos)),
        Command("fit", (root / "feats.zarr", labels, "--memory", "300MB"), weights),
        Command("predict", (photos, "--model", model)),
        Command("sample", drawing),
        Command("synthesize", synthetic),
        Command("distil", (photos, labels, "--model", model, *training), weights),
        Command("pretrain", ("--images", photos, "--size", 64, "--sheets", 0, *training), weights),
    ]


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


def run(command: Command, out: Path, limit: int | None = None, *more: str) -> Result:
    """Run a command, within so many bytes if they are given."""
    line = [*command.line(out), *more]
    if limit is None:
        made = subprocess.run(line, capture_output=True, text=True, env=ALONE)
        return Result(made.returncode, made.stdout, made.stderr)
    with control_group(limit) as members:
        joined = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(members), *line]
        try:
            made = subprocess.run(
                joined, capture_output=True, text=True, env=ALONE, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return Result(-9, "", "")
    return Result(made.returncode, made.stdout, made.stderr)


def tried(command: Command, root: Path) -> list[str]:
    """Run a command in much, enough and too little memory; return what went wrong."""
    outs = {way: root / f"{command.name}-{way}" for way in ("whole", "bounded", "starved")}
    peak = int(run_whole(command, outs["whole"], "--dry-run")["peak_memory"])
    run_whole(command, outs["whole"])
    expected, wrong = content(command, outs["whole"]), list[str]()
    bounded = run(command, outs["bounded"], int(MORE * peak))
    if bounded.code != 0:
        wrong.append(f"in {MORE * peak / 1e6:.0f} MB: exit code {bounded.code}: {bounded.err}")
    elif content(command, outs["bounded"]) != expected:
        wrong.append("another result in bounded memory")
    starved = run(command, outs["starved"], int(LESS * peak))
    if starved.code not in (-9, 0, 1) or "Traceback" in starved.err:
        wrong.append(f"in {LESS * peak / 1e6:.0f} MB: exit code {starved.code}: {starved.err}")
    again = run(command, outs["starved"], None, *([] if starved.code else ["--overwrite"]))
    if again.code != 0:
        wrong.append(f"after {starved.code}: exit code {again.code}: {again.err}")
    elif content(command, outs["starved"]) != expected:
        wrong.append(f"another result after {starved.code}")
    how = {-9: "killed", 0: "done", 1: f"a message ({starved.err.strip()[:80]})"}
    print(f"| {command.name} | {peak / 1e6:.0f} | {how.get(starved.code)} |", flush=True)
    return [f"{command.name}: {words}" for words in wrong]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="commands, separated by commas")
    given = parser.parse_args()
    only, wrong = set(filter(None, given.only.split(","))), list[str]()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_job(root, SIDE, IMAGES, LABELLED)
        run_whole(Command("extract", ("--images", root / "photos")), root / "feats.zarr")
        run_whole(Command("fit", (root / "feats.zarr", root / "labels")), root / "model")
        print("| command | told, MB | in 0.4 of it |\n| --- | --- | --- |")
        for command in commands(root):
            if not only or command.name in only:
                wrong += tried(command, root)
    print("\n".join([*wrong, f"{len(wrong)} things did not go as told"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
