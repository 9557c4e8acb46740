"""A training killed at any moment goes on to the very same network."""

import json
import subprocess
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

# Trains in children, of which all but the last are killed after a while. A fork each: what takes
# long, the imports, is done once.
DRIVER = """
import os, random, signal, sys, time
import torch
from diffusers import DDPMPipeline, UNet2DModel
from pathlib import Path
from dseg.pipelines.pretrain import run as pipeline
from dseg.pretrain.data.images import Augmentation
from dseg.pretrain.train.recipe import Recipe

torch.set_num_threads(1)
torch.optim.AdamW([torch.zeros(1)])  # imports much more
pipeline._LOG_EVERY = 0.0
images, init, out, steps = sys.argv[1:]
config = pipeline.PretrainConfig(
    Path(images), Path(out), init=init, steps=int(steps), save_seconds=1e-9, sheets=0,
    augmentation=Augmentation(0.5, True), recipe=Recipe(batch_size=2), precision="float32",
    device="cpu",
)
log = Path(out, "log.jsonl")
random.seed(0)
for number in range(5):
    before = log.stat().st_mtime_ns if log.exists() else 0
    child = os.fork()
    if child == 0:
        pipeline.pretrain(config)
        os._exit(0)
    if number < 4:
        while not log.exists() or log.stat().st_mtime_ns == before:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.6))
        os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1])
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_bit_for_bit(ddpm, tmp_path):
    """Killed again and again while it saves after every step."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(5):
        Image.new("RGB", (33 + i, 32), (50 * i, 255 - 50 * i, 99)).save(photos / f"{i}.png")
    from dseg.pipelines.pretrain.config import PretrainConfig
    from dseg.pipelines.pretrain.run import pretrain
    from dseg.pretrain.data.images import Augmentation
    from dseg.pretrain.train.recipe import Recipe

    steps = 12
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, photos, ddpm, tmp_path / "killed", str(steps)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends = [int(line) for line in done.stdout.split()]
    assert ends.count(9) >= 2  # killed
    assert ends[-1] == 0
    pretrain(
        PretrainConfig(
            photos,
            tmp_path / "whole",
            init=str(ddpm),
            steps=steps,
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
    lines = [json.loads(line) for line in (tmp_path / "killed/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    assert not [path for path in (tmp_path / "killed").rglob("*") if path.name.startswith(".")]
