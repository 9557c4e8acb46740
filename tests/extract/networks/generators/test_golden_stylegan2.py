"""StyleGAN2 equals rosinality's port, from its own file and under NVIDIA's names."""

import re
from pathlib import Path

import pytest
import torch
from dseg.extract.networks.generators.base import LoadedGenerator
from dseg.extract.networks.options import CheckpointOptions
from dseg.extract.registry import load_network
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[3] / "data" / "golden" / "stylegan2"


def as_nvidia(whole: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Rename weights as in stylegan2-ada-pytorch: the inverse of that port's exports."""
    found = {"mapping.w_avg": whole["latent_avg"]}
    for key, one in whole["g_ema"].items():
        if match := re.fullmatch(r"style\.(\d)\.(\w+)", key):
            found[f"mapping.fc{int(match[1]) - 1}.{match[2]}"] = one
            continue
        if key == "input.input":
            found["synthesis.b4.const"] = one[0]
            continue
        if match := re.fullmatch(r"noises\.noise_(\d)", key):
            layer = int(match[1])
            where = f"synthesis.b{4 * 2 ** ((layer + 1) // 2)}.conv{1 - layer % 2}"
            found[f"{where}.noise_const"] = one[0, 0]
            continue
        part, _, rest = key.partition(".")
        if part in ("convs", "to_rgbs"):
            number, _, rest = rest.partition(".")
            level = int(number) // 2 if part == "convs" else int(number)
            side, conv = 8 * 2**level, int(number) % 2
        else:
            side, conv = 4, 1
        where = f"synthesis.b{side}." + ("torgb" if "rgb" in part else f"conv{conv}")
        plain = {
            "conv.weight": ("weight", one[0]),
            "conv.modulation.weight": ("affine.weight", one),
            "conv.modulation.bias": ("affine.bias", one),
            "noise.weight": ("noise_strength", one.flatten()[0]),
            "activate.bias": ("bias", one),
            "bias": ("bias", one.flatten()),
            "conv.blur.kernel": ("resample_filter", one / 4),
            "upsample.kernel": ("resample_filter", one / 4),
        }
        name, value = plain[rest]
        if rest == "upsample.kernel":
            found[f"synthesis.b{side}.resample_filter"] = value
            found[f"synthesis.b{side}.conv1.resample_filter"] = value
            found["synthesis.b4.resample_filter"] = value
        else:
            found[f"{where}.{name}"] = value
    return found


@pytest.fixture(scope="module", params=["rosinality", "nvidia"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    path = GOLDEN / "generator.pt"
    if request.param == "nvidia":
        state = as_nvidia(torch.load(path, weights_only=True))
        path = tmp_path_factory.mktemp("nvidia") / "generator.pt"
        torch.save(state, path)
    return load_network(path, CheckpointOptions())


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_each_step_equals_the_ports(loaded: LoadedGenerator) -> None:
    expected, generator = load_file(GOLDEN / "expected.safetensors"), loaded.generator
    state = torch.load(GOLDEN / "generator.pt", weights_only=True)["g_ema"]
    noise = [state[f"noises.noise_{n}"] for n in range(len(generator.noise_sides))]
    with torch.inference_mode():
        styles = generator.styles(expected["z"])
        layers = generator.features(styles, noise, range(len(generator.shapes)))
        image = generator.image(styles, noise)
    close(styles, expected["styles"])
    assert len(layers) == 8
    for number, (found, shape) in enumerate(zip(layers, generator.shapes, strict=True)):
        assert tuple(found.shape[1:]) == shape
        close(found, expected[f"layer.{number}"])
    close(image, expected["image"])


def test_the_averaged_weights_and_the_average_style_are_taken(loaded: LoadedGenerator) -> None:
    assert loaded.kind == "stylegan2"
    assert loaded.architecture["average"] == "stored"
    assert loaded.latent == 16
    assert loaded.size == (32, 32)
