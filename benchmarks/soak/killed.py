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
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from commands import ALONE, ONE_THREAD, Command, content, lost_after, world
from fork_client import Result, Running, fork_server


def kill_at(running: Running, moment: float) -> bool:
    """Kill a run after some seconds; return whether it was still running."""
    end = time.monotonic() + moment
    while time.monotonic() < end and not running.ended():
        time.sleep(min(0.002, max(0.0, end - time.monotonic())))
    if not running.ended():
        os.kill(running.pid, signal.SIGKILL)
    return running.result().code == -signal.SIGKILL


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


def soak(
    command: Command, root: Path, start: Callable[..., Running], kills: int, rng: random.Random
) -> tuple[int, list[str]]:
    """Kill a command some times; return how often it was caught running, and what was lost."""
    whole = root / "whole" / command.name
    begun, folder = time.monotonic(), root / "told"
    folder.mkdir(exist_ok=True)

    def run(words: list[str]) -> Result:
        return start(root, folder, *words).result()

    made = run(command.call(whole))
    took, expected = time.monotonic() - begun, content(command, whole)
    if made.code != 0:
        raise RuntimeError(f"{command.name}: exit code {made.code}: {made.err[-500:]}")
    caught, lost = 0, list[str]()
    for number in range(kills):
        out = root / "killed" / f"{command.name}-{number}" / "out"
        out.parent.mkdir(parents=True)
        moment, words = rng.uniform(0, took), command.call(out)
        try:
            if command.name == "cluster":
                caught += kill_worker(command, out, moment)
            else:
                caught += kill_at(start(root, folder, *words), moment)
            found = lost_after(command, words, out, run, expected)
        except RuntimeError as error:
            found = [str(error)]
        lost += [f"{command.name}, killed after {moment:.2f} s: {words}" for words in found]
        shutil.rmtree(out.parent)
    return caught, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands, separated by commas")
    given = parser.parse_args()
    rng, total, caught_all = random.Random(given.seed), list[str](), 0
    with TemporaryDirectory() as folder, fork_server(**ONE_THREAD) as start:
        root = Path(folder)
        only = set(filter(None, given.only.split(",")))
        for command in world(root):
            if only and command.name not in only:
                continue
            caught, lost = soak(command, root, start, given.kills, rng)
            print(f"{command.name}: {given.kills} kills, {caught} in mid-run", flush=True)
            for line in lost:
                print(f"  LOST {line}", flush=True)
            total, caught_all = total + lost, caught_all + caught
    print(f"{caught_all} runs killed in mid-run, {len(total)} losses")
    sys.exit(bool(total))


if __name__ == "__main__":
    main()
