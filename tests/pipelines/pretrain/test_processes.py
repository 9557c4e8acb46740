"""Several processes that train together make the run that one makes."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from dseg.extract.registry import load_unet
from dseg.pipelines.pretrain.config import PretrainConfig
from dseg.pipelines.pretrain.run import pretrain
from dseg.pretrain.data.images import Augmentation
from dseg.pretrain.run.state import read_state
from dseg.pretrain.train.recipe import Recipe
from PIL import Image

STEPS = 4


@pytest.fixture
def photos(tmp_path):
    """Ten images of several sizes, and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 256, (32 + i, 40 - i, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    (folder / "broken.png").write_text("no picture")
    return folder


@pytest.fixture
def words(photos, ddpm):
    """A command line with a batch of five, so that the parts differ."""
    return [
        *("pretrain", "--images", photos, "--out", "two", "--init", ddpm, "--steps", STEPS),
        *("--crop", 0.5, "--flip", "--batch-size", 5, "--precision", "float32"),
        *("--sheets", 0, "--device", "cpu"),
    ]


def assert_as_one_process(photos, ddpm, folder):
    """Up to rounding."""
    config = PretrainConfig(
        images=photos,
        out=folder / "one",
        init=str(ddpm),
        steps=STEPS,
        augmentation=Augmentation(crop=0.5, flip=True),
        recipe=Recipe(batch_size=5),
        precision="float32",
        sheets=0,
        device="cpu",
    )
    alone = pretrain(config)
    (one, _), (two, values) = (read_state(folder / name / "training") for name in ("one", "two"))
    assert values["step"] == alone.steps == STEPS
    assert one.keys() == two.keys()
    start = load_unet(ddpm).unet.state_dict()
    for kind in ("network", "average.module"):
        a, b, before = (
            torch.cat([state[f"{prefix}{key}"].flatten() for key in start])
            for state, prefix in ((one, f"{kind}."), (two, f"{kind}."), (start, ""))
        )
        assert (a - b).norm() < 1e-3 * (a - before).norm()
        assert (a - before).norm() > 0


def assert_only_the_first_talks(out, err):
    assert out.count("two: 4 steps on 10 images") == 1, err
    assert err.count("1 files are skipped: 'broken.png'") == 1
    assert err.count("network: ") == 1
    assert "in float32, 2 processes" in err


def test_two_processes_equal_one(forked, photos, ddpm, words, tmp_path):
    """With the variables that torchrun sets."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    runs = [forked(tmp_path, *words, RANK=rank, LOCAL_RANK=rank, **common) for rank in range(2)]
    first, second = (run.result() for run in runs)
    assert first.code == 3, first.err  # for the broken file
    assert second.out == ""
    assert_only_the_first_talks(first.out + second.out, first.err + second.err)
    assert_as_one_process(photos, ddpm, tmp_path)


@pytest.mark.slow
def test_two_processes_of_torchrun_equal_one(photos, ddpm, words, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", "dseg", *map(str, words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert_only_the_first_talks(done.stdout, done.stderr)
    assert done.returncode == 1  # torchrun's own for the 3 of its first process
    assert "exitcode  : 3" in done.stderr
    assert_as_one_process(photos, ddpm, tmp_path)
