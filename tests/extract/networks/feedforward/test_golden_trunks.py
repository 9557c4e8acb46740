"""MAE and SwAV activations equal those of the published implementations, within 1e-4."""

import hashlib
import json
import lzma
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from safetensors.torch import load_file
from torch import Tensor

TOLERANCE = 1e-4


def unpacked(packed: Path, folder: Path) -> Path:
    path = folder / "model.pth"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path


def compare(backbone, expected: dict[str, Tensor], strides: list[int]) -> None:
    """Compare all maps, and their channels' statistics, where the golden file has every channel."""
    pixels = expected["images_u8"].permute(0, 3, 1, 2).float()
    maps = backbone(pixels / 127.5 - 1)
    assert len(maps) == sum(key.endswith(".stats") for key in expected)
    for number, (activation, layer, stride) in enumerate(
        zip(maps, backbone.layers, strides, strict=True)
    ):
        assert activation.shape[1:] == (layer.channels, layer.height, layer.width)
        error = activation[:, ::stride] - expected[f"act{number}"]
        assert error.abs().max() <= TOLERANCE, f"act{number}"
        flat = activation.double().transpose(0, 1).flatten(1)
        stats = torch.stack([flat.mean(1), flat.std(1, correction=0)], 1)
        torch.testing.assert_close(
            stats, expected[f"act{number}.stats"][:, :2], atol=TOLERANCE, rtol=0
        )


@pytest.mark.parametrize("record", ["out", "in"])
def test_mae_equals_the_published(record: str, golden: Path, tmp_path: Path) -> None:
    path = unpacked(golden / "mae/model.pth.xz", tmp_path)
    backbone = load_backbone(path, heads=4, inputs=record == "in", device="cpu")
    assert backbone.layers[0].name == "2"  # the last 12 of 14 blocks
    compare(backbone, load_file(golden / f"mae/activations_{record}.safetensors"), [1] * 12)


@pytest.mark.parametrize("record", ["out", "in"])
def test_compact_swav_equals_the_published(record: str, golden: Path, tmp_path: Path) -> None:
    path = unpacked(golden / "swav/compact/model.pth.xz", tmp_path)
    backbone = load_backbone(path, size=64, inputs=record == "in", device="cpu")
    assert backbone.describe()["kind"] == "swav"
    expected = load_file(golden / f"swav/compact/activations_{record}.safetensors")
    compare(backbone, expected, [1] * 9)


def recipe(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Make the full-size network's weights as the golden folder's README says."""
    state = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        n = np.random.default_rng([83, zlib.crc32(key.encode())]).standard_normal(shape)
        if len(shape) == 4:
            n = n * np.sqrt(2 / np.prod(shape[1:]))
        elif key.endswith("running_var"):
            n = 1 + 0.3 * np.abs(n)
        elif key.endswith("bn3.weight"):
            n = 0.3 * (1 + 0.2 * n)
        elif key.endswith("weight"):
            n = 1 + 0.2 * n
        else:
            n = 0.1 * n
        state[key] = torch.from_numpy(n.astype(np.float32))
    return state


def test_swav_of_full_size_equals_the_published(golden: Path, tmp_path: Path) -> None:
    folder = golden / "swav/rn50_full_size"
    config = json.loads((folder / "config.json").read_text())
    state = recipe(config["state_dict_shapes"])
    for key, sha256 in config["tensor_sha256"].items():
        assert hashlib.sha256(state[key].numpy().tobytes()).hexdigest() == sha256
    torch.save(state, tmp_path / "rn50.pth")
    for record in ("in", "out"):
        inputs = None if record == "in" else False  # inputs are the default, as published
        backbone = load_backbone(tmp_path / "rn50.pth", size=64, inputs=inputs, device="cpu")
        assert sum(layer.channels for layer in backbone.layers) == (6720, 8704)[record == "out"]
        expected = load_file(folder / f"activations_{record}.safetensors")
        strides = [cut["channel_stride"] for cut in config["activations"][record]]
        compare(backbone, expected, strides)
