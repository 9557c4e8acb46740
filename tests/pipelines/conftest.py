"""A small world to run the commands in: a tiny diffusion model, photographs, label maps."""

import base64
import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from dseg.pipelines import main as cli
from fork_client import Result, fork_server
from PIL import Image

CLASSES = ("sea", "sun", "boat")
SIZES = ((40, 56), (32, 32), (64, 48), (33, 47), (50, 50), (48, 72))


@pytest.fixture
def dseg(monkeypatch, capsys, tmp_path):
    """Run a command line as the console script does; the working folder is tmp_path."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["dseg", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return Result(exit_.value.code or 0, captured.out, captured.err)

    return run


@dataclass(frozen=True)
class Measured:
    """What a command line did in a process of its own, and the bytes that it held at most."""

    out: str
    err: str
    peak: int


@pytest.fixture(scope="session")
def measured():
    """Run command lines in one new process; return what its imports hold, and each result."""

    def run(*calls: tuple[object, ...]) -> tuple[int, list[Measured]]:
        script, words = Path(__file__).with_name("measured.py"), [[*map(str, c)] for c in calls]
        command = [sys.executable, script, json.dumps(words)]
        made = subprocess.run(command, capture_output=True, text=True, timeout=500)
        assert made.returncode == 0, made.stderr
        imports, *results = json.loads(made.stdout)
        for result in results:
            assert result.pop("code") == 0, result["err"]
        return imports, [Measured(**result) for result in results]

    return run


@pytest.fixture(scope="session")
def forked(tmp_path_factory):
    """Start a command line in a process of its own, as a fork of one that has imported it all."""
    with fork_server() as start:
        yield lambda folder, *words, **env: start(
            folder, tmp_path_factory.mktemp("forked"), *words, **env
        )


def make_ddpm(folder: Path, seed: int = 0) -> Path:
    """Save a small untrained U-Net of 32-pixel images as diffusers does."""
    from diffusers import DDPMScheduler, UNet2DModel

    torch.manual_seed(seed)
    unet = UNet2DModel(
        sample_size=32,
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
    )
    unet.save_pretrained(folder / "unet")
    DDPMScheduler(num_train_timesteps=1000).save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="session")
def ddpm(tmp_path_factory) -> Path:
    return make_ddpm(tmp_path_factory.mktemp("ddpm"))


@pytest.fixture(scope="session")
def other_ddpm(tmp_path_factory) -> Path:
    return make_ddpm(tmp_path_factory.mktemp("other_ddpm"), seed=1)


def scene(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a sea with a sun and a boat: an image and its label map."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    label = np.zeros((height, width), np.uint8)
    cy, cx = rng.uniform(0.2, 0.4) * height, rng.uniform(0.2, 0.8) * width
    label[(y - cy) ** 2 + (x - cx) ** 2 < (0.18 * min(height, width)) ** 2] = 1
    left = int(rng.uniform(0.1, 0.5) * width)
    label[int(0.65 * height) : int(0.9 * height), left : left + width // 3] = 2
    colours = np.array([[30, 60, 140], [240, 200, 40], [150, 70, 30]])
    noisy = colours[label] + rng.normal(0, 12, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8), label


@dataclass(frozen=True)
class World:
    """Folders of images and label maps; the first three images are labelled."""

    photos: Path
    labels: Path
    truth: Path
    stems: tuple[str, ...]


def make_world(root: Path) -> World:
    photos, labels, truth = root / "photos", root / "labels", root / "truth"
    for folder in (photos, labels, truth):
        folder.mkdir(parents=True)
    stems = []
    for i, (height, width) in enumerate(SIZES):
        image, label = scene(height, width, i)
        stems.append(f"p{i}")
        Image.fromarray(image).save(photos / f"p{i}.png")
        Image.fromarray(label).save(truth / f"p{i}.png")
        if i < 3:
            Image.fromarray(label).save(labels / f"p{i}.png")
    for folder in (labels, truth):
        (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return World(photos, labels, truth, tuple(stems))


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """Read only: tests that change files make their own."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def own_world(tmp_path) -> World:
    return make_world(tmp_path / "world")


@pytest.fixture(scope="session")
def store(world, ddpm, tmp_path_factory) -> Path:
    """The features of all photographs; read only."""
    from dseg.pipelines.extract.config import ExtractConfig
    from dseg.pipelines.extract.run import extract

    path = tmp_path_factory.mktemp("store") / "feats.zarr"
    extract(ExtractConfig(world.photos, path, (str(ddpm),)))
    return path


@pytest.fixture(scope="session")
def model(world, store, tmp_path_factory) -> Path:
    """A model of the labelled photographs; read only."""
    from dseg.pipelines.fit.config import FitConfig
    from dseg.pipelines.fit.run import fit

    path = tmp_path_factory.mktemp("model") / "model"
    fit(FitConfig((store,), world.labels, path, members=4, max_steps=300))
    return path


@pytest.fixture(scope="session")
def save_published():
    """Return a function (ensemble, folder) that writes an ensemble as the published code does."""

    def save(ensemble, folder):
        folder.mkdir()
        stack = ensemble.stack_
        for m in range(stack.members):
            state = {}
            for k, i in enumerate((0, 3, 6)):
                state[f"module.layers.{i}.weight"] = stack.weights[k][m].detach().T.clone()
                state[f"module.layers.{i}.bias"] = stack.biases[k][m].detach().clone()
            for k, i in enumerate((2, 5)):
                state[f"module.layers.{i}.weight"] = stack.gammas[k][m].detach().clone()
                state[f"module.layers.{i}.bias"] = stack.betas[k][m].detach().clone()
                state[f"module.layers.{i}.running_mean"] = stack.means[k][m].clone()
                state[f"module.layers.{i}.running_var"] = stack.variances[k][m].clone()
                state[f"module.layers.{i}.num_batches_tracked"] = torch.tensor(300)
            torch.save({"model_state_dict": state}, folder / f"model_{m}.pth")

    return save


class S3:
    """A server of objects in a process of its own, see `tests/s3_server.py`."""

    key = "AKIDTEST"

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        given = {"endpoint": self.address, "access_key_id": self.key, "region": "us-east-1"}
        return (*given.items(), ("secret_access_key", "s3cr3t-of-the-tests"))

    def _ask(self, path: str, data: bytes | None = None) -> bytes:
        with urllib.request.urlopen(self.address + path, data) as answer:
            return answer.read()

    def faults(self, *ordered: dict[str, object]) -> None:
        """Order faults; without any, take back those that are left."""
        self._ask("/-/faults", json.dumps(ordered).encode())

    def put(self, key: str, data: bytes) -> None:
        self._ask(f"/-/objects/{quote(key)}", data)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """The objects under a prefix, by the rest of their keys."""
        found = json.loads(self._ask(f"/-/objects/{quote(prefix)}"))
        return {key[len(prefix) :]: base64.b64decode(data) for key, data in found.items()}


@pytest.fixture(scope="session")
def _s3_server():
    script = Path(__file__).parents[1] / "s3_server.py"
    command = [sys.executable, script]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield S3(int(server.stdout.readline()))
        server.stdin.close()


@pytest.fixture
def s3(_s3_server):
    """The server, empty and without faults."""
    _s3_server._ask("/-/clear", b"")
    return _s3_server
