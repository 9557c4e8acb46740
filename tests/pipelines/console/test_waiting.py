"""While a network is loaded or a folder is listed, a user sees that it goes on."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time

import pytest
from dseg.pipelines.console import progress_lines
from dseg.pipelines.console.progress import Console, Progress, SubProgress

ON_A_TERMINAL = """
import time
from dseg.pipelines.console.progress import Console, SubProgress
with SubProgress(Console(), "fold 1/2").step("load the network"):
    time.sleep(1.5)
print("done")
"""


@pytest.fixture
def sooner(monkeypatch):
    monkeypatch.setattr(progress_lines, "FIRST", 0.3)
    monkeypatch.setattr(progress_lines, "LEAST", 0.3)


@pytest.mark.parametrize("of", [lambda it: it, lambda it: SubProgress(it, "fold 1/2")])
def test_a_log_has_a_line_now_and_then(sooner, capsys, of):
    with of(Console()).step("load the network"):
        time.sleep(1.5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert all("load the network: 00:0" in line for line in lines)
    assert all(line.endswith(" so far") for line in lines)


def test_a_moment_and_quiet_runs_tell_nothing(sooner, capsys):
    with Console().step("load the network"):
        pass
    with Console(quiet=True).step("load the network"), Progress().step("list images"):
        time.sleep(0.7)
    assert capsys.readouterr().err == ""


def test_an_error_goes_through(sooner):
    with pytest.raises(ValueError, match="inside"), Console().step("load the network"):
        raise ValueError("inside")


def test_a_terminal_shows_the_time_and_then_nothing():
    """On a real pseudo-terminal."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen([sys.executable, "-c", ON_A_TERMINAL], stdout=its, stderr=its) as run:
        assert run.wait(60) == 0
    os.close(its)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # so a terminal ends on Linux
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    text = shown.decode()
    assert "fold 1/2, load the network: 00:0" in text
    last = text.split("\r")
    assert text.strip().endswith("done")
    assert not any("load" in part for part in last[-2:])  # it was wiped
