"""A process that makes inputs, reads them, and tells what each came to.

It is a fork of one that has imported everything, with a bound on its memory and one on the time of
an input. What it tells, a JSON line each: the number of the input that it is about to read, then
its outcome. Its end before that is an outcome too.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import re
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TextIO

import click
import dseg
from dseg.store.errors import DsegError

from .kinds import KINDS, Sample

__all__ = ["MEMORY", "SECONDS", "Bounds", "outcome_of", "run"]

MEMORY = 2 * 2**30
"""Bytes of address space that reading one input may take, beyond what the process has."""

SECONDS = 15.0
"""Of processor time, for one input: what others do on the machine does not count."""

LARGEST = 2**20
"""Bytes of a sample: whatever grows beyond is left, for a large file may take long."""

_PACKAGE = str(Path(dseg.__file__).parent)
_REFUSED = re.compile("allocate|MemoryError|out of memory")  # what the bound makes of a request
_KEPT = 400  # samples that reached new lines, to go on from


class TooSlow(BaseException):
    """An input took longer than the bound."""


class Reached(BaseException):
    """A reader went to the network, or started a process."""


class Bounds:
    """The bounds of a process: memory, no network, no other program."""

    def __init__(self, memory: int = MEMORY) -> None:
        status = Path("/proc/self/status").read_text()
        held = 1024 * int(re.search(r"VmSize:\s+(\d+)", status)[1])  # type: ignore[index]
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
        self.memory = memory
        self._held = self._most()
        sys.addaudithook(_refuse)
        signal.signal(signal.SIGPROF, _too_slow)

    @staticmethod
    def _most() -> int:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def taken(self) -> int:
        """Return by how many bytes the most that was held has grown since the last call."""
        before, self._held = self._held, self._most()
        return self._held - before


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"):
        raise Reached(event)


def _too_slow(*_: object) -> None:
    raise TooSlow


def outcome_of(kind: str, folder: Path, bounds: Bounds) -> dict[str, Any]:
    """Read an input; return what it came to.

    Returns
    -------
    dict
        ``what``: "read", the type of a refusal, or "finding"; ``words`` of a refusal or a finding;
        ``bytes`` of memory.
    """
    bounds.taken()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    start, words = time.process_time(), ""
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KINDS[kind].read(folder)
        what = "read"
    except (DsegError, click.ClickException) as error:
        what, words = type(error).__name__, str(error) or getattr(error, "message", "")
        if not words.strip():
            what, words = "finding", f"{type(error).__name__} without a message"
    except TooSlow:
        what, words = "finding", f"more than {SECONDS} s\n{traceback.format_exc(limit=-4)}"
    except BaseException:
        what, words = "finding", traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    taken = bounds.taken()
    if what != "finding" and _REFUSED.search(words):
        what, words = "finding", f"more memory than the bound was asked for\n{words}"
    if what != "finding" and taken > bounds.memory // 2:
        what, words = "finding", f"{taken} bytes of memory were taken\n{words}"
    return {"what": what, "words": words, "bytes": taken, "seconds": time.process_time() - start}


class _Lines:
    """Which lines of dseg have run."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int]] = set()

    def new(self) -> int:
        """Return how many lines were run for the first time since the last call."""
        before, self._before = getattr(self, "_before", 0), len(self.seen)
        return self._before - before

    def __call__(self, frame: FrameType, event: str, _: object) -> "_Lines | None":
        """Trace a frame of dseg; none of others."""
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        self.seen.add((frame.f_code, frame.f_lineno))
        return self


def run(kind: str, data: Path, folder: Path, seed: int, start: int, tell: TextIO) -> None:
    """Make and read inputs from number ``start`` on, until the process is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    work = folder / "work"
    samples = deque(KINDS[kind].seeds(data, work), maxlen=None)
    seeds = list(samples)
    kept: deque[Sample] = deque(maxlen=_KEPT)
    bounds, lines, place = Bounds(), _Lines(), _Place(folder / "input")
    sys.settrace(lines)
    for sample in seeds:
        place.write(sample)
        outcome_of(kind, place.folder, bounds)
    lines.new()
    for number in _from(start):
        rng = random.Random(f"{seed} {kind} {number}")
        from_kept = kept and rng.random() < 0.5
        try:
            sample = KINDS[kind].mutate(rng, rng.choice(kept if from_kept else seeds))
        except Exception:  # a change that this input does not allow
            continue
        if sum(map(len, sample.values())) > LARGEST:
            continue
        place.write(sample)
        print(json.dumps({"number": number}), file=tell, flush=True)
        outcome = outcome_of(kind, place.folder, bounds)
        if lines.new():
            kept.append(sample)
        outcome |= {"lines": len(lines.seen), "number": number}
        if outcome["what"] != "finding":  # numbers and names apart, messages are few
            outcome["words"] = re.sub(r"'[^']*'|\d+", "#", outcome["words"])[:200]
        else:
            outcome["sample"] = {name: data_.hex() for name, data_ in sample.items()}
        print(json.dumps(outcome), file=tell, flush=True)


def _from(start: int) -> Iterator[int]:
    while True:
        yield start
        start += 1


class _Place:
    """A folder with the files of one sample; of the next only what differs is written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._there = folder, {}  # type: tuple[Path, dict[str, str]]
        folder.mkdir()

    def write(self, sample: Sample) -> None:
        wanted = {name: hashlib.md5(data).hexdigest() for name, data in sample.items()}
        for name in self._there.keys() - wanted.keys():
            (self.folder / name).unlink()
        for name, data in sample.items():
            if self._there.get(name) != wanted[name]:
                path = self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        self._there = wanted
