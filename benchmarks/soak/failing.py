"""Writes that fail, at each moment of each command: one message, and the next run finishes.

    python benchmarks/soak/failing.py --moments 30 --seed 0

A small library under the commands (`failing_writes.c`; Linux, needs a C compiler) makes calls
fail that write below the folder of the result: all that follow a moment, as on a full disk
(ENOSPC), over a quota (EDQUOT), on a file system that turned read-only (EROFS) or where a
permission was taken away (EACCES), or only one (EIO; ENOSPC, of which a write takes a part). Or the
clock is a day behind from a call on. Each command runs undisturbed, which counts its calls; then it
is started again and again, `fit` and `distil` half of the times over an earlier result, and from a
call on that the seed chooses they fail. Counted as lost: an end without one plain message, or, with
the clock, any but a good one; an earlier result that is neither as before nor the new one; a next
run, on a sound disk, that fails; a result with other bytes than the undisturbed run's; what is left
over after `dseg verify --repair`. Exit code 1 if anything was lost.
"""

import argparse
import errno
import os
import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from commands import ONE_THREAD, Command, content, lost_after, world
from fork_client import Result, Running, fork_server

ALL, BACK = -1, 0
WAYS = (
    (errno.ENOSPC, ALL),
    (errno.EDQUOT, ALL),
    (errno.EROFS, ALL),
    (errno.EACCES, ALL),
    (errno.EIO, 1),
    (errno.ENOSPC, 1),
    (BACK, ALL),
)
# Those that replace a result when the new one is there; `curve --overwrite` begins anew.
REPLACING = ("fit", "distil")


class Failing:
    """Runs command lines, of which calls that write fail.

    Parameters
    ----------
    start : callable
        Starts one in a fork of a process that has the library under it.
    files : Path
        A folder for what they tell, and for the file in which the library counts.
    """

    def __init__(self, start: Callable[..., Running], files: Path) -> None:
        self._start, self._files, self._counter = start, files, files / "counter"

    def run(
        self, words: list[str], folder: Path, after: int = 0, times: int = 0, error: int = 0
    ) -> Result:
        """Run one; so many calls on what is in ``folder`` fail, see `failing_writes.c`."""
        self._counter.write_bytes(bytes(8))
        env = {
            "FAULT_FOLDER": str(folder),
            "FAULT_AFTER": str(after),
            "FAULT_TIMES": str(times),
            "FAULT_ERRNO": str(error),
            "FAULT_COUNTER": str(self._counter),
        }
        return self._start(self._files, self._files, *words, **env).result()

    @property
    def calls(self) -> int:
        """How many calls the last run made that could fail."""
        return int(struct.unpack("q", self._counter.read_bytes())[0])


def is_plain(ended: Result) -> bool:
    """Whether what a run told is a result, or one message for people."""
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    if any(word in ended.err for word in ("Traceback", "unexpected error", "This is a bug")):
        return False
    return ended.code in (0, 3) or (ended.code == 1 and len(errors) == 1)


@contextmanager
def failing(folder: Path) -> Iterator[Failing]:
    """Compile the library, and start the process that has it under it."""
    library, source = folder / "failing_writes.so", Path(__file__).with_name("failing_writes.c")
    options = ("-shared", "-fPIC", "-O1", "-o")
    subprocess.run([os.environ.get("CC", "cc"), *options, library, source, "-ldl"], check=True)
    with fork_server(**ONE_THREAD, LD_PRELOAD=str(library)) as start:
        yield Failing(start, folder)


@dataclass
class Tally:
    """What the runs of a command came to."""

    runs: int = 0
    failed: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


def soak(command: Command, root: Path, process: Failing, moments: int, rng: random.Random) -> Tally:
    """Let a command fail some times."""
    whole = root / "whole" / command.name
    made = process.run(command.call(whole), whole.parent)
    if made.code != 0:
        raise RuntimeError(f"{command.name}: exit code {made.code}: {made.err[-500:]}")
    calls = process.calls
    expected, earlier = content(command, whole), root / "earlier" / command.name
    if command.name in REPLACING:
        other = process.run([*command.call(earlier), "--seed", "7"], earlier.parent)
        assert other.code == 0, other.err
    tally = Tally()
    for number in range(moments):
        error, times = WAYS[number % len(WAYS)]
        moment = rng.randrange(calls)
        what = errno.errorcode[error] if error else "clock back"
        where = f"{command.name}, {what} at call {moment} of {calls}"
        out = root / "failed" / f"{command.name}-{number}" / "out"
        out.parent.mkdir(parents=True)
        replaces = command.name in REPLACING and number // len(WAYS) % 2 == 1
        if replaces:
            shutil.copytree(earlier, out)
        before = content(command, out) if replaces else {}
        words = command.call(out)
        words += ["--overwrite"] if replaces and "--overwrite" not in words else []
        ended = process.run(words, out.parent, moment, times, error)
        tally.runs += 1
        tally.failed += ended.code != 0
        tally.messages[_without_names(ended.err, out)] += 1
        fine = is_plain(ended) and (error != BACK or ended.code == 0)
        lost = [] if fine else [f"exit code {ended.code}: {ended.err[-700:]}"]
        if replaces and _kept(command, out) not in (before, expected):
            lost.append("the earlier result is not as it was")
        lost += lost_after(command, words, out, partial(process.run, folder=out.parent), expected)
        tally.lost += [f"{where}: {words}" for words in lost]
        shutil.rmtree(out.parent)
    return tally


def _kept(command: Command, out: Path) -> dict[str, bytes]:
    """Return what is there of a result, or is to come back with the next run."""
    aside = out.parent.glob(".*-replaced")
    return content(command, out if out.exists() else next(aside, out))


def _without_names(told: str, out: Path) -> str:
    """Return an error without the folder of its run, to count those that are alike."""
    lines = [line for line in told.splitlines() if line.startswith("Error: ")]
    told_else = "no error; " + " ".join(told.split())[-200:]
    return (lines[0] if lines else told_else).replace(str(out), "OUT")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moments", type=int, default=30, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands, separated by commas")
    parser.add_argument("--messages", action="store_true", help="print what was told")
    given = parser.parse_args()
    rng, runs, failed, n_lost = random.Random(given.seed), 0, 0, 0
    only = set(filter(None, given.only.split(",")))
    with TemporaryDirectory() as folder, failing(Path(folder)) as process:
        root = Path(folder)
        for command in world(root):
            if command.name == "cluster" or (only and command.name not in only):
                continue
            tally = soak(command, root, process, given.moments, rng)
            print(f"{command.name}: {tally.runs} runs, {tally.failed} failed", flush=True)
            for line in tally.lost:
                print(f"  LOST {line}", flush=True)
            if given.messages:
                for message, times in tally.messages.most_common():
                    print(f"  {times:4} {message}", flush=True)
            runs, failed, n_lost = (
                runs + tally.runs,
                failed + tally.failed,
                n_lost + len(tally.lost),
            )
    print(f"{runs} runs in which a write failed, {failed} of them ended, {n_lost} losses")
    sys.exit(bool(n_lost))


if __name__ == "__main__":
    main()
