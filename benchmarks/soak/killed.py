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
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from commands import ALONE, Command, content, left_over, run_whole, world


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
