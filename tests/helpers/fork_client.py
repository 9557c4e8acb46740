"""Command lines in forks of one process (`fork_server.py`), for tests and for `benchmarks/soak`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER = Path(__file__).with_name("fork_server.py")


@dataclass(frozen=True)
class Result:
    """How a command line ended, and what it told."""

    code: int
    out: str
    err: str


class Running:
    """A command line that runs in a process of its own.

    Parameters
    ----------
    ask : callable
        Sends an order to the server, and returns its answer.
    files : Path
        Folder for what it tells.
    order : dict
        See `fork_server.py`.
    """

    def __init__(
        self, ask: Callable[..., int | None], files: Path, order: Mapping[str, object]
    ) -> None:
        self._ask, self._out, self._err = ask, files / "out", files / "err"
        for file in (self._out, self._err):
            file.unlink(missing_ok=True)
        pid = ask(out=str(self._out), err=str(self._err), **order)
        assert pid is not None
        self.pid = pid
        self.code: int | None = None

    @property
    def err(self) -> str:
        """What it has said so far."""
        return self._err.read_text() if self._err.exists() else ""

    def ended(self) -> bool:
        """Whether it has ended."""
        if self.code is None:
            self.code = self._ask(wait=self.pid)
        return self.code is not None

    def result(self, within: float = 120) -> Result:
        """Wait for its end, at most so many seconds."""
        deadline = time.monotonic() + within
        while not self.ended():
            assert time.monotonic() < deadline, self.err
            time.sleep(0.005)
        assert self.code is not None
        return Result(self.code, self._out.read_text(), self.err)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, which must be before its end."""
        deadline = time.monotonic() + 120
        while not condition():
            assert not self.ended(), self.result()
            assert time.monotonic() < deadline, self.err
            time.sleep(0.0005)

    def kill_when(self, condition: Callable[[], bool], how: int = signal.SIGKILL) -> Result:
        """Send a signal as soon as something is so; return what it came to."""
        self.wait_until(condition)
        os.kill(self.pid, how)
        return self.result()


@contextmanager
def fork_server(**env: str) -> Iterator[Callable[..., Running]]:
    """Start the process that forks, with more variables; yield what starts a command line in it.

    That takes the working folder, a folder for what it tells, the words, and variables.
    """
    with subprocess.Popen(
        [sys.executable, SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
        # A run in the background may ignore SIGINT, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as server:
        asks, answers = server.stdin, server.stdout
        assert asks is not None
        assert answers is not None

        def ask(**order: object) -> int | None:
            asks.write(json.dumps(order) + "\n")
            asks.flush()
            answer = json.loads(answers.readline())
            return None if answer is None else int(answer)

        def start(folder: Path, files: Path, *words: object, **variables: object) -> Running:
            told = {name: str(value) for name, value in variables.items()}
            order = {"folder": str(folder), "words": list(map(str, words)), "env": told}
            return Running(ask, files, order)

        yield start
        asks.close()
