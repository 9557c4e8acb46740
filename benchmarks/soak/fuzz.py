"""Hostile input: checkpoints, stores, models, labels, annotations and others, changed at random.

    python benchmarks/soak/fuzz.py --minutes 30 --out fuzz/
    python benchmarks/soak/fuzz.py --kinds images,labels --inputs 1000
    python benchmarks/soak/fuzz.py --again fuzz/findings/images-17

Good inputs are changed as their structure allows (`fuzzing/mutations.py`), and inputs that ran new
lines of dseg are changed further. Each is read by what the commands use, in a process with a bound
on memory and time, without network. Every end but a result or a message for people is a finding:
any other exception, a killed process, memory or time beyond the bounds, a file outside of the
working folder. The files of a finding are kept; `--again` reads one.

Linux only. Exit code 1 if there was any finding.
"""

import argparse
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.kinds import KINDS
from fuzzing.worker import MEMORY, SECONDS, Bounds, outcome_of, run

DATA = Path(__file__).parents[2] / "tests/data"
OF_NETWORKS = (
    "diffusers.models.unets.unet_2d",
    "diffusers.models.autoencoders.autoencoder_kl",
    "transformers.models.vit_mae.modeling_vit_mae",
    "transformers.models.dinov2.modeling_dinov2",
    "transformers.models.convnext.modeling_convnext",
    "dseg.extract.registry",
)
IMPORTS = (
    *OF_NETWORKS,
    "dseg.pipelines.main",
    "dseg.generate.folder",
    "dseg.classify.annotations.registry",
    "dseg.classify.labels.folds",
)
NETWORKS = ("checkpoint-folders",)
# So many inputs of each kind for one of the slowest: what is quick to read is read more often.
SHARES = {"checkpoint-folders": 3, "checkpoint-files": 2, "stores": 2}


@dataclass
class Tally:
    """What the inputs of one kind came to."""

    inputs: int = 0
    lines: int = 0
    slowest: float = 0.0
    most_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    messages: set[str] = field(default_factory=set)
    findings: dict[str, Path | None] = field(default_factory=dict)


class Fuzzing:
    """Processes that read inputs of one kind, one after the other."""

    def __init__(self, kind: str, seed: int, out: Path) -> None:
        self.kind, self.seed, self.out = kind, seed, out
        self.tally = Tally()
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._sandbox = Path(tempfile.mkdtemp(prefix="dseg-fuzz-", dir=in_memory))

    def go(self, inputs: int, seconds: float) -> Tally:
        """Read so many inputs, or for so long, whichever ends first."""
        end = time.monotonic() + seconds
        while self.tally.inputs < inputs and time.monotonic() < end:
            self._one_process(inputs, end)
        strangers = [path.name for path in self._sandbox.iterdir() if path.name != "home"]
        if strangers:
            self._found(f"files outside of the working folder: {strangers}", None)
        shutil.rmtree(self._sandbox, ignore_errors=True)
        return self.tally

    def _one_process(self, inputs: int, end: float) -> None:
        home = self._sandbox / "home"
        shutil.rmtree(home, ignore_errors=True)
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reader)
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            if "DSEG_FUZZ_SHOW" not in os.environ:
                os.dup2(devnull, 2)
            try:
                with os.fdopen(writer, "w") as tell:
                    run(self.kind, DATA, home, self.seed, self.tally.inputs, tell)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(writer)
        self._listen(pid, reader, inputs, end)
        os.close(reader)
        os.waitpid(pid, 0)

    def _listen(self, pid: int, reader: int, inputs: int, end: float) -> None:
        """Count outcomes until the process ends, hangs, or has read enough."""
        begun, rest, about = False, b"", None
        while time.monotonic() < end:
            if not select.select([reader], [], [], 20 * SECONDS if begun else 300)[0]:
                os.kill(pid, signal.SIGKILL)
                self._died(about, f"hangs for more than {20 * SECONDS} s")
                return
            data = os.read(reader, 2**20)
            if not data:
                self._died(about, "the process ended")
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                begun, about = True, json.loads(line)
                if "what" in about:
                    self._count(about)
                    if self.tally.inputs >= inputs:
                        os.kill(pid, signal.SIGKILL)
                        return
        os.kill(pid, signal.SIGKILL)

    def _count(self, outcome: dict[str, Any]) -> None:
        tally = self.tally
        tally.inputs += 1
        tally.lines = max(tally.lines, outcome["lines"])
        tally.slowest = max(tally.slowest, outcome["seconds"])
        tally.most_bytes = max(tally.most_bytes, outcome["bytes"])
        tally.outcomes[outcome["what"]] += 1
        if outcome["what"] == "finding":
            self._found(outcome["words"], outcome["sample"])
        elif outcome["words"]:
            tally.messages.add(outcome["words"])

    def _died(self, about: dict[str, Any] | None, how: str) -> None:
        self.tally.inputs += 1
        self.tally.outcomes["finding"] += 1
        folder = self._sandbox / "home/input"
        sample = {
            path.relative_to(folder).as_posix(): path.read_bytes().hex()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self._found(f"{how}, at {about}", sample)

    def _found(self, words: str, sample: dict[str, str] | None) -> None:
        key = words.strip().splitlines()[-1][:160] + words[-400:-160]
        if key in self.tally.findings:
            return
        folder = self.out / "findings" / f"{self.kind}-{len(self.tally.findings)}"
        for name, content in (sample or {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes.fromhex(content))
        self.tally.findings[key] = folder
        print(f"FINDING {self.kind} ({folder}):\n{words}\n", file=sys.stderr, flush=True)


def main() -> int:
    """Fuzz, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated")
    parser.add_argument("--minutes", type=float, default=30, help="of all kinds together")
    parser.add_argument("--inputs", type=int, default=10**9, help="of each kind, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz"))
    parser.add_argument("--again", type=Path, nargs="+", help="read the files of findings")
    given = parser.parse_args()
    kinds = [_kind_of(path) for path in given.again] if given.again else given.kinds.split(",")
    for name in IMPORTS[0 if any(map(NETWORKS.__contains__, kinds)) else len(OF_NETWORKS) :]:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    if given.again:
        bounds, found = Bounds(), []
        for kind, path in zip(kinds, given.again, strict=True):
            found.append(outcome_of(kind, path.resolve(), bounds))
            print(json.dumps({"path": path.name, **found[-1]}))
        return int(any(one["what"] == "finding" for one in found))
    share = 60 * given.minutes / sum(SHARES.get(kind, 1) for kind in kinds)
    tallies = {}
    for kind in kinds:
        seconds = share * SHARES.get(kind, 1)
        tallies[kind] = Fuzzing(kind, given.seed, given.out.resolve()).go(given.inputs, seconds)
        print(_row(kind, tallies[kind]), flush=True)
    total, findings = (
        sum(t.inputs for t in tallies.values()),
        sum(len(t.findings) for t in tallies.values()),
    )
    print(
        f"{total} inputs, {findings} distinct findings; bounds {MEMORY >> 20} MiB, {SECONDS} s; "
        f"{sum(os.times()[:4]) / 60:.0f} minutes of processor time"
    )
    return int(bool(findings))


def _kind_of(finding: Path) -> str:
    return next(name for name in KINDS if finding.name.startswith(name))


def _row(kind: str, tally: Tally) -> str:
    outcomes = ", ".join(f"{what} {count}" for what, count in tally.outcomes.most_common())
    return (
        f"{kind}: {tally.inputs} inputs, {len(tally.messages)} distinct messages, {tally.lines} "
        f"lines of dseg run, at most {tally.slowest:.1f} s and {tally.most_bytes >> 20} MiB more; "
        f"{outcomes}; {len(tally.findings)} distinct findings"
    )


if __name__ == "__main__":
    sys.exit(main())
