"""Outside a terminal: a line now and then where a bar would be."""

import re

import numpy as np
import pytest
from dseg.pipelines.console import progress_lines
from dseg.pipelines.console.progress_lines import Lines
from PIL import Image

FIRST = progress_lines.FIRST
LINE = re.compile(r"(\w+): (\d+) of (\d+) (\w+) \((\d+) %\), about \d+:\d\d left")


@pytest.fixture
def run(dseg, monkeypatch):
    """Run a command that tells the same lines sooner: half a minute is too long for a test."""

    def sooner(*words, seconds=0.02):
        monkeypatch.setattr(progress_lines, "FIRST", seconds)
        monkeypatch.setattr(progress_lines, "LEAST", seconds)
        made = dseg(*words)
        assert made.code == 0, made.err
        return made

    return sooner


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{i:02}.png")
    return folder


def test_a_long_run_tells_where_it_is(run, photos, ddpm):
    words = ("extract", "--images", photos, "--out", "f.zarr", "--checkpoint", ddpm)
    made = run(*words)
    told = [LINE.fullmatch(line) for line in made.err.splitlines() if "extract: " in line]
    assert len(told) > 1, made.err
    assert all(told), made.err
    done = [int(match[2]) for match in told]
    assert done == sorted(set(done))
    assert {match[3] for match in told} == {"24"}
    assert all(int(match[5]) == 100 * int(match[2]) // 24 for match in told)
    assert "\r" not in made.err
    assert "24 images extracted" in made.out


def test_quiet_runs_and_quick_ones_tell_no_lines(run, photos, ddpm):
    words = ("extract", "--images", photos, "--out", "f.zarr", "--checkpoint", ddpm)
    assert run(*words, "--quiet").err == ""
    again = run(*words, "--overwrite", seconds=FIRST)
    assert not LINE.search(again.err), again.err


def test_a_training_tells_step_loss_and_time_left(run, photos):
    words = ("--images", photos, "--out", "ddpm", "--network", "tiny", "--size", 32, "--steps", 12)
    quick = ("--batch-size", 2, "--sheets", 0, "--precision", "float32", "--device", "cpu")
    made = run("pretrain", *words, *quick)
    line = r"pretrain: \d+ %, step \d+(, loss \d\.\d{4})?(, \d+:\d\d left)?"
    told = [text for text in made.err.splitlines() if text.startswith("pretrain: ")]
    assert told, made.err
    assert all(re.fullmatch(line, text) for text in told), made.err


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
