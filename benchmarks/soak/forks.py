"""Command lines in forks of one process: the imports of a process take longer than a small run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from commands import ALONE, Ended

SERVER = Path(__file__).parents[2] / "tests" / "pipelines" / "fork_server.py"
NOTHING: Mapping[str, str] = {}
_POLL = 0.002


class Forks:
    """Runs command lines, one at a time, in forks of a process; see `forks`."""

    def __init__(self, server: subprocess.Popen[str], files: Path) -> None:
        self._server, self._files = server, files

    def run(self, words: list[str], env: Mapping[str, str] = NOTHING) -> Ended:
        """Run one to its end, with more variables of the environment."""
        pid = self._start(words, env)
        while (code := self._ask({"wait": pid})) is None:
            time.sleep(_POLL)
        return Ended(code, *((self._files / name).read_text() for name in ("out", "err")))

    def kill_after(self, words: list[str], seconds: float) -> bool:
        """Start one, and kill it after some seconds; return whether it was still running."""
        end, pid = time.monotonic() + seconds, self._start(words, NOTHING)
        while time.monotonic() < end:
            if self._ask({"wait": pid}) is not None:
                return False
            time.sleep(min(_POLL, max(0.0, end - time.monotonic())))
        os.kill(pid, signal.SIGKILL)
        while (code := self._ask({"wait": pid})) is None:
            time.sleep(_POLL)
        return code == -signal.SIGKILL

    def _start(self, words: list[str], env: Mapping[str, str]) -> int:
        files = {name: self._files / name for name in ("out", "err")}
        for file in files.values():
            file.unlink(missing_ok=True)
        told = {name: str(file) for name, file in files.items()}
        pid = self._ask({"folder": str(self._files), "words": words, "env": dict(env), **told})
        assert pid is not None
        return pid

    def _ask(self, order: Mapping[str, object]) -> int | None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        return None if answer is None else int(answer)


@contextmanager
def forks(files: Path, env: Mapping[str, str] = NOTHING) -> Iterator[Forks]:
    """Start the process that forks, with more variables; ``files`` is its working folder."""
    server = subprocess.Popen(
        [sys.executable, SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**ALONE, **env},
    )
    with server:
        yield Forks(server, files)
        assert server.stdin is not None
        server.stdin.close()
