"""Activations equal those of the published implementation, loaded and run as in use."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.networks.diffusion.noise import NoiseSchedule, q_sample, shared_noise
from dseg.extract.networks.options import CheckpointOptions
from dseg.extract.registry import load_unet
from safetensors.torch import load_file
from torch import Tensor

# guided-diffusion's flags that a checkpoint does not show
TOLD: dict[str, dict[str, Any]] = {
    "adm64": {"head_channels": 16},
    "improved64": {"heads": 4, "attention_order": "new"},
    "lsun256": {"head_channels": 16},
}
# Absolute, and relative in the L2 norm. Float32 rounding with all steps in one batch gives 8e-4
# and 2.3e-5 at 256 pixels, where maps reach 30; 1.1e-4 and 6.7e-6 at 64 pixels.
TOLERANCE = {"adm64": (3e-4, 2e-5), "improved64": (3e-4, 2e-5), "lsun256": (2e-3, 5e-5)}

Unpack = Callable[[str], Path]


def read(golden: Path, variant: str, name: str) -> dict[str, Tensor]:
    return load_file(golden / "guided_diffusion" / variant / f"{name}.safetensors")


def images(golden: Path, variant: str) -> Tensor:
    """(2, 3, H, W) in [-1, 1]."""
    pixels = read(golden, variant, "inputs")["images_u8"]
    return 2 * (pixels.permute(0, 3, 1, 2).float() / 255) - 1


def assert_close(got: Tensor, expected: Tensor, variant: str, what: str) -> None:
    absolute, relative = TOLERANCE[variant]
    error = got - expected
    assert error.abs().max() <= absolute, what
    assert error.norm() <= relative * expected.norm(), what


def assert_stats(got: Tensor, expected: Tensor, variant: str, what: str) -> None:
    """Compare mean, population deviation and sum of squares of each channel of (1, C, h, w)."""
    flat = got.double().flatten(2)[0]
    stats = torch.stack([flat.mean(1), flat.std(1, correction=0), flat.square().sum(1)], 1)
    absolute, relative = TOLERANCE[variant]
    torch.testing.assert_close(stats[:, :2], expected[:, :2], atol=absolute, rtol=0, msg=what)
    assert (stats - expected)[:, 2].norm() <= 4 * relative * expected[:, 2].norm(), what


@pytest.mark.parametrize(
    ("variant", "record"),
    [("adm64", "out"), ("adm64", "in"), ("improved64", "out"), ("lsun256", "out")],
)
def test_activations_equal_the_published(
    variant: str, record: str, golden: Path, golden_checkpoint: Unpack
) -> None:
    config = json.loads((golden / "guided_diffusion" / variant / "config.json").read_text())
    backbone = load_backbone(
        golden_checkpoint(variant),
        config["steps"],
        config["blocks"],
        inputs=record == "in",
        device="cpu",
        **TOLD[variant],
    )
    maps = backbone(images(golden, variant))
    expected = read(golden, variant, f"activations_{record}")
    compared = set()
    for layer, activation in zip(backbone.layers, maps, strict=True):
        assert activation.shape[1:] == (layer.channels, layer.height, layer.width)
        cut = config["activations"][record][f"block{layer.block}"]
        points = slice(cut["offset"], None, cut["stride"])
        for image in range(2):
            key = f"img{image}.t{layer.timestep}.block{layer.block}"
            one = activation[image : image + 1]
            forms = {".sampled": one[:, :, points, points], ".full": one}
            for form in [form for form in forms if key + form in expected]:
                assert_close(forms[form], expected[key + form], variant, key + form)
                compared.add(key + form)
            if f"{key}.stats" in expected:
                assert_stats(one, expected[f"{key}.stats"], variant, f"{key}.stats")
                compared.add(f"{key}.stats")
    assert compared == set(expected)


@pytest.mark.parametrize(
    "variant", ["adm64", "improved64", pytest.param("lsun256", marks=pytest.mark.slow)]
)
def test_raw_output_equals_the_published(
    variant: str, golden: Path, golden_checkpoint: Unpack
) -> None:
    config = json.loads((golden / "guided_diffusion" / variant / "config.json").read_text())
    loaded = load_unet(golden_checkpoint(variant), CheckpointOptions(**TOLD[variant]))
    expected = read(golden, variant, "xt_and_output")
    x, noise = images(golden, variant), read(golden, variant, "inputs")["noise"]
    cut = config["x_t_sampling"]
    points = slice(cut["offset"], None, cut["stride"])
    with torch.inference_mode():
        # run as in use, all steps in one batch; published is the output at 150
        x_t = q_sample(x, config["steps"], noise, loaded.schedule).flatten(0, 1)
        t = torch.tensor(config["steps"]).repeat_interleave(len(x))
        output = loaded.unet(x_t, t).sample.unflatten(0, (-1, len(x)))[config["steps"].index(150)]
        for t in (0, 1, 50, 150, 250, 999):
            embedding = loaded.unet.time_embedding(loaded.unet.time_proj(torch.tensor([t])))
            torch.testing.assert_close(embedding, expected[f"t{t}.emb"], atol=1e-5, rtol=1e-5)
    for image in range(2):
        key = f"img{image}.t150.model_output"
        one = output[image : image + 1]
        assert_close(one[:, :, points, points], expected[key], variant, key)
        if f"{key}.stats" in expected:
            assert_stats(one, expected[f"{key}.stats"], variant, key)


@pytest.mark.parametrize("variant", list(TOLD))
def test_noised_images_equal_the_published(variant: str, golden: Path) -> None:
    inputs, expected = read(golden, variant, "inputs"), read(golden, variant, "xt_and_output")
    config = json.loads((golden / "guided_diffusion" / variant / "config.json").read_text())
    x = images(golden, variant)
    noise = shared_noise(0, (x.shape[2], x.shape[3]))
    assert torch.equal(noise, inputs["noise"])
    if "x0" in inputs:
        assert torch.equal(x, inputs["x0"])
    cut = config["x_t_sampling"]
    points = slice(cut["offset"], None, cut["stride"])
    x_t = q_sample(x, config["steps"], noise, NoiseSchedule.named("linear"))
    keys = [key for key in expected if key.endswith(".x_t")]
    assert keys
    for key in keys:
        image, step = (int(part.lstrip("imgt")) for part in key.split(".")[:2])
        got = x_t[config["steps"].index(step), image : image + 1, :, points, points]
        np.testing.assert_allclose(got, expected[key], atol=5e-7, rtol=0)
