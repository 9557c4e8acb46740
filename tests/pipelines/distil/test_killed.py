"""A run killed at any moment goes on to the very same student."""

import json
import random
import signal
import time

import torch
from dseg.pipelines.distil.config import DistilConfig
from dseg.pipelines.distil.run import distil
from safetensors.torch import load_file

STEPS = 6


def test_a_killed_run_goes_on_bit_for_bit(forked, world, model, tmp_path):
    """Killed while the teacher is at work, and while it saves after every step."""
    words = [
        *("distil", world.photos, world.labels, "--model", model, "--out", "killed"),
        *("--size", 32, "--steps", STEPS, "--batch-size", 2, "--save-every", "0.001s"),
        *("--precision", "float32", "--device", "cpu"),
    ]
    soft, log = tmp_path / "killed/soft-labels", tmp_path / "killed/log.jsonl"
    killed = forked(tmp_path, *words).kill_when(lambda: any(soft.glob("*.npz")))
    assert killed.code == -signal.SIGKILL
    delay = random.Random(0).uniform(0, 0.1)
    killed = forked(tmp_path, *words).kill_when(lambda: log.exists() and not time.sleep(delay))
    assert killed.code == -signal.SIGKILL
    finished = forked(tmp_path, *words).result()
    assert finished.code == 0, finished.err
    distil(
        DistilConfig(
            world.photos,
            world.labels,
            model,
            tmp_path / "whole",
            size=32,
            steps=STEPS,
            batch_size=2,
            precision="float32",
            device="cpu",
        )
    )
    for file in ("training/state.safetensors", "student.safetensors"):
        one, other = (load_file(tmp_path / name / file) for name in ("whole", "killed"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert not [path for path in (tmp_path / "killed").rglob("*") if path.name.startswith(".")]
