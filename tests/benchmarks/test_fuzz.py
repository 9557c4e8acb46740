"""benchmarks/soak/fuzz.py: a few inputs of every kind, and what it has found before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOUND = sorted(path for path in (ROOT / "tests/data/hostile").iterdir() if path.is_dir())
QUICK = "models,stores,records,labels,annotations,classes,settings,lists,images,names"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bounds a process as Linux does")


def fuzz(*words):
    command = [sys.executable, ROOT / "benchmarks/soak/fuzz.py", *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)


def test_a_few_inputs_of_the_quick_kinds(tmp_path):
    made = fuzz("--kinds", QUICK, "--inputs", "30", "--seed", "7", "--out", tmp_path)
    assert made.returncode == 0, made.stderr
    assert f"{30 * len(QUICK.split(','))} inputs, 0 distinct findings" in made.stdout
    assert all(" 0 distinct messages" not in line for line in made.stdout.splitlines()[:-2])


@pytest.mark.slow
def test_a_few_inputs_of_checkpoints(tmp_path):
    kinds = "checkpoint-files,checkpoint-folders"
    made = fuzz("--kinds", kinds, "--inputs", "60", "--seed", "7", "--out", tmp_path)
    assert made.returncode == 0, made.stderr
    assert "120 inputs, 0 distinct findings" in made.stdout


def test_what_was_found_before():
    made = fuzz("--again", *FOUND)
    outcomes = [json.loads(line) for line in made.stdout.splitlines()]
    assert made.returncode == 0, outcomes
    assert len(outcomes) == len(FOUND)
    assert all(one["words"] or one["what"] == "read" for one in outcomes)


def test_a_finding_is_one(tmp_path):
    """What reads names must not take a path for one; here it cannot read at all."""
    (tmp_path / "names-0").mkdir()
    made = fuzz("--again", tmp_path / "names-0")
    assert made.returncode == 1
    assert "FileNotFoundError" in made.stdout
