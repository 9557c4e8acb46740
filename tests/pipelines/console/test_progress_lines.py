"""Outside a terminal: a line now and then where a bar would be."""

import re
import subprocess
import sys

import numpy as np
import pytest
from dseg.pipelines.console import progress_lines
from dseg.pipelines.console.progress_lines import Lines
from PIL import Image

# The same lines sooner: a run of half a minute is too long for a test.
RUN = (
    "from dseg.pipelines.console import progress_lines as lines; lines.FIRST = lines.LEAST = {};"
    "from dseg.pipelines import main as cli; cli.main()"
)
LINE = re.compile(r"(\w+): (\d+) of (\d+) (\w+) \((\d+) %\), about \d+:\d\d left")


def run(tmp_path, *words, seconds=0.02):
    command = [sys.executable, "-c", RUN.format(seconds), *map(str, words)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{i:02}.png")
    return folder


def test_a_long_run_tells_where_it_is(photos, ddpm, tmp_path):
    words = ("extract", "--images", photos, "--out", "f.zarr", "--checkpoint", ddpm)
    made = run(tmp_path, *words)
    told = [LINE.fullmatch(line) for line in made.stderr.splitlines() if "extract: " in line]
    assert len(told) > 1, made.stderr
    assert all(told), made.stderr
    done = [int(match[2]) for match in told]
    assert done == sorted(set(done))
    assert {match[3] for match in told} == {"24"}
    assert all(int(match[5]) == 100 * int(match[2]) // 24 for match in told)
    assert "\r" not in made.stderr
    assert "24 images extracted" in made.stdout


def test_quiet_runs_and_quick_ones_tell_no_lines(photos, ddpm, tmp_path):
    words = ("extract", "--images", photos, "--out", "f.zarr", "--checkpoint", ddpm)
    assert run(tmp_path, *words, "--quiet").stderr == ""
    again = run(tmp_path, *words, "--overwrite", seconds=progress_lines.FIRST)
    assert not LINE.search(again.stderr), again.stderr


def test_a_training_tells_step_loss_and_time_left(photos, tmp_path):
    words = ("--images", photos, "--out", "ddpm", "--network", "tiny", "--size", 32, "--steps", 12)
    made = run(tmp_path, "pretrain", *words, "--sheets", 0, "--device", "cpu")
    line = r"pretrain: \d+ %, step \d+(, loss \d\.\d{4})?(, \d+:\d\d left)?"
    told = [text for text in made.stderr.splitlines() if text.startswith("pretrain: ")]
    assert told, made.stderr
    assert all(re.fullmatch(line, text) for text in told), made.stderr


def test_the_time_left_is_by_the_pace_since_the_line_before():
    now = iter(range(10**6))  # each look at the time takes a second
    lines = Lines("fit", 1000, "steps", lambda: next(now))
    told = [line for _ in range(1000) if (line := lines.advance(1))]
    done = [int(LINE.fullmatch(line)[2]) for line in told]
    assert np.diff(done)[:3] == pytest.approx(30, abs=1)
    assert done[0] == pytest.approx(10, abs=1)
    assert done[-1] - done[-2] == pytest.approx(0.1 * done[-2], rel=0.1)
    minutes, seconds = map(int, told[1].split("about ")[1].removesuffix(" left").split(":"))
    assert 60 * minutes + seconds == pytest.approx(1000 - done[1], rel=0.05)
