"""A training killed at any moment goes on to the very same network."""

import json
import random
import signal
import time

import torch
from dseg.pipelines.pretrain.config import PretrainConfig
from dseg.pipelines.pretrain.run import pretrain
from dseg.pretrain.data.images import Augmentation
from dseg.pretrain.train.recipe import Recipe
from PIL import Image
from safetensors.torch import load_file

STEPS = 12


def modified(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def test_a_killed_training_goes_on_bit_for_bit(forked, ddpm, tmp_path):
    """Killed again and again while it saves after every step."""
    photos, log, rng = tmp_path / "photos", tmp_path / "killed/log.jsonl", random.Random(0)
    photos.mkdir()
    for i in range(5):
        Image.new("RGB", (33 + i, 32), (50 * i, 255 - 50 * i, 99)).save(photos / f"{i}.png")
    words = [
        *("pretrain", "--images", photos, "--out", "killed", "--init", ddpm, "--steps", STEPS),
        *("--save-every", "0.001s", "--crop", 0.5, "--flip", "--batch-size", 2),
        *("--precision", "float32", "--sheets", 0, "--device", "cpu"),
    ]
    ends = []
    while len(ends) < 4 and 0 not in ends:
        before, run = modified(log), forked(tmp_path, *words)
        killed = run.kill_when(
            lambda before=before: modified(log) != before and not time.sleep(rng.uniform(0, 0.2))
        )
        ends.append(killed.code)
    assert ends.count(-signal.SIGKILL) >= 2
    finished = forked(tmp_path, *words).result()
    assert finished.code == 0, finished.err
    pretrain(
        PretrainConfig(
            photos,
            tmp_path / "whole",
            init=str(ddpm),
            steps=STEPS,
            sheets=0,
            augmentation=Augmentation(0.5, True),
            recipe=Recipe(batch_size=2),
            precision="float32",
            device="cpu",
        )
    )
    for file in ("training/state.safetensors", "unet/diffusion_pytorch_model.safetensors"):
        one, other = (load_file(tmp_path / name / file) for name in ("whole", "killed"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert not [path for path in (tmp_path / "killed").rglob("*") if path.name.startswith(".")]
