"""Several processes, as torchrun starts them, make the run that one makes."""

import os
import subprocess
import sys

import pytest
import torch
from dseg.extract.networks.diffusion.noise import NoiseSchedule
from dseg.extract.networks.options import CheckpointOptions
from dseg.pipelines.pretrain.config import PretrainConfig
from dseg.pipelines.pretrain.run import pretrain
from dseg.pretrain.data.images import Augmentation
from dseg.pretrain.network.folder import scheduler_of, write_network
from dseg.pretrain.run.state import read_state
from dseg.pretrain.train.processes import Processes, processes
from dseg.pretrain.train.recipe import Recipe
from dseg.store.errors import InputError


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_a_batch_is_shared_without_rest(world):
    for batch in range(world, 20):
        parts = [Processes(rank, world, torch.device("cpu")).share(batch) for rank in range(world)]
        places = [place for low, count in parts for place in range(low, low + count)]
        assert places == list(range(batch))
        assert min(count for _, count in parts) >= 1


def test_one_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")  # as some clusters set it without torchrun
    with processes("cpu") as here:
        assert (here.rank, here.world, here.first) == (0, 1, True)
        assert here.agreed(2.5, True) == (2.5, True)
        assert here.gathered("a") == ["a"]
        here.wait()
    with pytest.raises(InputError, match="there is no device 'abacus' here"), processes("abacus"):
        pass


@pytest.mark.slow
def test_two_processes_equal_one(unet, photos, tmp_path):
    """A batch of five, so that the parts differ; up to rounding, and only the first one talks."""
    network = unet(1, block_out_channels=(8, 16))
    write_network(network, scheduler_of(NoiseSchedule.named("linear")), tmp_path / "init", {})
    (photos / "broken.png").write_text("no picture")
    config = PretrainConfig(
        images=photos,
        out=tmp_path / "one",
        init=str(tmp_path / "init"),
        init_options=CheckpointOptions(),
        steps=4,
        augmentation=Augmentation(crop=0.5, flip=True),
        recipe=Recipe(batch_size=5),
        precision="float32",
        sheets=0,
        device="cpu",
    )
    alone = pretrain(config)
    words = [
        *("--images", photos, "--out", "two", "--init", "init", "--steps", 4, "--crop", 0.5),
        *("--flip", "--batch-size", 5, "--precision", "float32", "--sheets", 0, "--device", "cpu"),
    ]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", "dseg", "pretrain", *map(str, words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.stdout.count("two: 4 steps on 10 images") == 1, done.stderr
    assert done.stderr.count("1 files are skipped: 'broken.png'") == 1
    assert done.stderr.count("network: ") == 1
    assert "in float32, 2 processes" in done.stderr
    assert done.returncode == 1  # torchrun's own for the 3 of its first process
    assert "exitcode  : 3" in done.stderr
    (one, _), (two, values) = (read_state(tmp_path / name / "training") for name in ("one", "two"))
    assert values["step"] == alone.steps == 4
    assert one.keys() == two.keys()
    start = network.state_dict()
    for kind in ("network", "average.module"):
        a, b, before = (
            torch.cat([state[f"{prefix}{key}"].flatten() for key in start])
            for state, prefix in ((one, f"{kind}."), (two, f"{kind}."), (start, ""))
        )
        assert (a - b).norm() < 1e-3 * (a - before).norm()
        assert (a - before).norm() > 0
