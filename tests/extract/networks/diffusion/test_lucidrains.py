"""denoising-diffusion-pytorch: files of its trainer, and every decoder block of its U-Net."""

from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.diffusion.noise import q_sample
from dseg.extract.networks.options import CheckpointOptions
from dseg.extract.registry import load_network
from dseg.store.errors import InputError
from safetensors.torch import load_file

GOLDEN = Path(__file__).parents[3] / "data" / "golden" / "lucidrains"
ROWS = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


def loaded(name: str) -> Any:
    return load_network(GOLDEN / f"{name}.pt", CheckpointOptions())


@pytest.mark.parametrize("name", ["plain", "grey"])
@pytest.mark.parametrize("inputs", [False, True])
def test_every_block_equals_the_librarys_own(name: str, inputs: bool) -> None:
    golden, network = load_file(GOLDEN / f"{name}.safetensors"), loaded(name)
    shapes = network.blocks()
    decoder = network.decoder(range(len(shapes)), inputs, None)
    with torch.inference_mode():
        found = decoder(golden["x"], golden["t"])
    assert len(found) == len(shapes)
    for number, (shape, got) in enumerate(zip(shapes, found, strict=True)):
        expected = golden[f"{'input' if inputs else 'output'}.{number}"]
        stride = shape.stride_in if inputs else shape.stride
        channels = shape.channels_in if inputs else shape.channels_out
        assert got.shape[1:] == (channels, 16 // stride, 24 // stride)
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["plain", "grey"])
def test_the_noise_is_that_of_the_file(name: str) -> None:
    golden, schedule = load_file(GOLDEN / f"{name}.safetensors"), loaded(name).schedule
    x, steps = golden["x"], golden["t"].tolist()
    noised = q_sample(x, steps, torch.ones_like(x[:1]), schedule)
    for number in range(len(x)):
        expected = golden["noised"][number]
        torch.testing.assert_close(noised[number, number], expected, atol=2e-6, rtol=1e-5)


def test_grey_networks_see_the_brightness() -> None:
    backbone = load_backbone(GOLDEN / "grey.pt", [7], [0, 4], size=(16, 24), device="cpu")
    grey = ROWS.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    other = grey * torch.tensor([1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    assert torch.equal(backbone(grey)[1], backbone(other)[1])
    assert not torch.equal(backbone(grey)[1], backbone(ROWS)[1])


def test_the_averaged_weights_are_taken_and_a_spec_finds_them_again() -> None:
    path = GOLDEN / "plain.pt"
    one = load_backbone(path, [7], [0, 1], size=(16, 24), device="cpu")
    raw = load_backbone(path, [7], [0, 1], size=(16, 24), weights="model", device="cpu")
    assert "the averaged weights, 'ema'" in str(one.weights)
    assert not torch.equal(one(ROWS)[0], raw(ROWS)[0])
    for backbone in (one, raw):
        again = restore_backbone(feature_spec(backbone, "squash"), device="cpu")
        assert torch.equal(again(ROWS)[0], backbone(ROWS)[0])


def test_a_unet_alone_takes_the_schedule_that_is_told(tmp_path: Path) -> None:
    whole = torch.load(GOLDEN / "plain.pt", weights_only=True)["model"]
    state = {k.removeprefix("model."): v for k, v in whole.items() if k.startswith("model.")}
    torch.save(state, tmp_path / "unet.pt")
    told = {"size": (16, 24), "device": "cpu"}
    one = load_backbone(
        tmp_path / "unet.pt", [7], [0], schedule="cosine", diffusion_steps=50, **told
    )
    assert one.describe()["schedule"] == {"name": "cosine", "timesteps": 50}
    again = restore_backbone(feature_spec(one, "squash"), device="cpu")
    assert torch.equal(again(ROWS)[0], one(ROWS)[0])
    with pytest.raises(InputError, match="schedule cannot be set for this checkpoint"):
        load_backbone(GOLDEN / "plain.pt", [7], [0], schedule="cosine", **told)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model.time_mlp.0.weights": torch.zeros(3)}, "its time is continuous"),
        ({"model.init_conv.weight": torch.zeros(4, 5, 7, 7)}, "takes 5 channels: expected 3"),
        ({"model.downs.0.2.mem_kv": None}, "of old versions"),
        ({"model.mid_block1.block1.norm.g": None}, "weights 1 missing"),
    ],
)
def test_another_network_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    state = torch.load(GOLDEN / "plain.pt", weights_only=True)["model"] | change
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "x.pt")
    with pytest.raises(InputError, match=words):
        load_backbone(tmp_path / "x.pt", [7], [0], size=16)
