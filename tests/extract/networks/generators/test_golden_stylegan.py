"""StyleGAN equals DatasetGAN's own: styles, every layer, the image, and vectors of pixels."""

import io
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dseg.extract.networks.generators.base import LoadedGenerator
from dseg.extract.networks.generators.stylegan import StyleGAN
from dseg.extract.networks.options import BackboneOptions, CheckpointOptions
from dseg.extract.registry import load_network
from dseg.store.read.interpolation import taps
from safetensors.torch import load_file
from torch import Tensor

TOLERANCE = 1e-4  # of the largest value


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, Tensor]:
    return load_file(golden / "datasetgan" / "expected.safetensors")


@pytest.fixture(scope="module")
def config(golden: Path) -> dict[str, Any]:
    return json.loads((golden / "datasetgan" / "config.json").read_text())


@pytest.fixture(scope="module")
def loaded(golden: Path, expected: dict[str, Tensor], tmp_path_factory: Any) -> LoadedGenerator:
    packed = (golden / "datasetgan" / "generator.pt.xz").read_bytes()
    state = torch.load(io.BytesIO(lzma.decompress(packed)), weights_only=True)
    path = tmp_path_factory.mktemp("datasetgan") / "generator.pt"
    torch.save({"g_all": state, "latent_avg": expected["avg_latent"]}, path)
    network = load_network(path, CheckpointOptions())
    assert isinstance(network, LoadedGenerator)
    return network


@pytest.fixture(scope="module")
def noise(expected: dict[str, Tensor], config: dict[str, Any]) -> list[Tensor]:
    base, sides = expected["noise_base"], config["noise_sides"]
    return [torch.roll(base, 3 * k, dims=1)[:s, :s][None, None] for k, s in enumerate(sides)]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=TOLERANCE * float(wanted.abs().max()))


def test_the_architecture_is_read_off_the_file(
    loaded: LoadedGenerator, config: dict[str, Any]
) -> None:
    generator = loaded.generator
    assert (loaded.kind, loaded.size, loaded.latent) == ("stylegan", (256, 256), 512)
    assert [channels for channels, *_ in generator.shapes] == config["layer_channels"]
    assert list(generator.noise_sides) == config["noise_sides"]
    assert generator.truncated == config["max_layer_truncated"]


@pytest.mark.parametrize("number", [0, 1])
def test_each_step_equals_the_published_one(
    loaded: LoadedGenerator, noise: list[Tensor], expected: dict[str, Tensor], number: int
) -> None:
    generator, z = loaded.generator, expected["latents"][number : number + 1]
    with torch.inference_mode():
        styles = generator.styles(z)
        layers = generator.features(styles, noise, range(14))
        rgb = generator.image(styles, noise)
    close(styles, expected[f"sample{number}.style"][:, :14])
    for k, found in enumerate(layers):
        stride = found.shape[-1] // expected[f"sample{number}.layer{k}"].shape[-1]
        close(found[..., ::stride, ::stride], expected[f"sample{number}.layer{k}"])
    close(rgb[..., 1::4, 1::4], expected[f"sample{number}.rgb"])
    vectors = []
    for found in layers:
        index, weight = taps(expected["yx"].numpy(), (256, 256), tuple(found.shape[-2:]))
        cells = found[0].flatten(1).numpy()[:, index]  # (C, n, 4)
        vectors.append((cells * weight).sum(axis=2).T)
    close(torch.from_numpy(np.concatenate(vectors, axis=1)), expected[f"sample{number}.features"])


def test_images_are_rounded_as_published(
    loaded: LoadedGenerator,
    noise: list[Tensor],
    expected: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dseg.extract.networks.generators.base.shared_noise", lambda *_: noise)
    drawn = loaded.images(expected["latents"], device="cpu")
    for number, image in enumerate(drawn):
        wanted = expected[f"sample{number}.image_u8"].numpy()
        difference = np.abs(image.astype(int) - wanted)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3  # on the edge between two values


def test_the_backbone_returns_the_same_layers_of_both(
    loaded: LoadedGenerator, expected: dict[str, Tensor]
) -> None:
    backbone = loaded.backbone(BackboneOptions(blocks=[0, 5], device="cpu"))
    assert [layer.map_size for layer in backbone.layers] == ["4x4", "16x16"]
    both = backbone(expected["latents"])
    for number in (0, 1):
        alone = backbone(expected["latents"][number : number + 1])
        for one, together in zip(alone, both, strict=True):
            close(together[number : number + 1], one)
    assert isinstance(loaded.generator, StyleGAN)
