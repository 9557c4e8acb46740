"""What generators have in common: latents, noise, images, the average style; what is refused."""

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.generators.latents import latents_of, shared_noise
from dseg.extract.networks.options import CheckpointOptions
from dseg.extract.registry import load_network
from dseg.store.errors import InputError
from torch import Tensor

GOLDEN = Path(__file__).parents[3] / "data" / "golden" / "stylegan2" / "generator.pt"
WIDTH = 12
GREY = {
    "g_synthesis.torgb.weight": torch.zeros(1, 6, 1, 1),
    "g_synthesis.torgb.bias": torch.zeros(1),
}


def loaded(path: Path = GOLDEN) -> Any:
    return load_network(path, CheckpointOptions())


def stylegan(sides: tuple[int, ...] = (4, 8)) -> dict[str, Tensor]:
    """A small StyleGAN with random weights, under the names of the PyTorch ports."""
    generator, channels = torch.Generator().manual_seed(3), 6
    found: dict[str, Tensor] = {}

    def add(name: str, *shape: int) -> None:
        found[name] = torch.randn(shape, generator=generator)

    for n in range(2):
        add(f"g_mapping.dense{n}.weight", WIDTH, WIDTH)
        add(f"g_mapping.dense{n}.bias", WIDTH)
    for side in sides:
        name = f"g_synthesis.blocks.{side}x{side}"
        if side == sides[0]:
            add(f"{name}.const", 1, channels, side, side)
            add(f"{name}.bias", channels)
        else:
            add(f"{name}.conv0_up.weight", channels, channels, 3, 3)
            add(f"{name}.conv0_up.bias", channels)
            add(f"{name}.conv0_up.intermediate.kernel", 1, 1, 3, 3)
        conv = "conv" if side == sides[0] else "conv1"
        add(f"{name}.{conv}.weight", channels, channels, 3, 3)
        add(f"{name}.{conv}.bias", channels)
        for epilogue in ("epi1", "epi2"):
            add(f"{name}.{epilogue}.top_epi.noise.weight", channels)
            add(f"{name}.{epilogue}.style_mod.lin.weight", 2 * channels, WIDTH)
            add(f"{name}.{epilogue}.style_mod.lin.bias", 2 * channels)
    add("g_synthesis.torgb.weight", 3, channels, 1, 1)
    add("g_synthesis.torgb.bias", 3)
    return found


def saved(state: Any, folder: Path) -> Path:
    torch.save(state, folder / "x.pt")
    return folder / "x.pt"


def test_noise_is_a_function_of_the_seed() -> None:
    one, again, other = (shared_noise([4, 8, 8], seed) for seed in (1, 1, 2))
    assert [tuple(n.shape) for n in one] == [(1, 1, 4, 4), (1, 1, 8, 8), (1, 1, 8, 8)]
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[1], one[2])
    assert not torch.equal(one[0], other[0])


def test_a_batch_draws_what_each_seed_draws_alone() -> None:
    network = loaded()
    together = network.images(latents_of([5, 6, 7], 16), device="cpu")
    assert together.shape == (3, 32, 32, 3)
    assert together.dtype == np.uint8
    for seed, image in zip([5, 6, 7], together, strict=True):
        assert np.array_equal(network.images(latents_of([seed], 16), device="cpu")[0], image)
    assert not np.array_equal(together[0], together[1])
    assert not np.array_equal(network.images(latents_of([5], 16), seed=1)[0], together[0])
    with pytest.raises(InputError, match=r"shape \(1, 8\), but this generator takes \(any.*, 16\)"):
        network.images(latents_of([5], 8))


def test_a_spec_finds_the_generator_again(tmp_path: Path) -> None:
    path = saved(stylegan(), tmp_path)
    z = {16: latents_of([1, 2], 16), WIDTH: latents_of([1, 2], WIDTH)}
    for backbone in (
        load_backbone(GOLDEN, device="cpu"),
        load_backbone(GOLDEN, blocks=[3, 7], seed=2, weights="g", device="cpu"),
        load_backbone(path, blocks=[1], device="cpu"),
    ):
        spec = feature_spec(backbone, "squash")
        again, latents = restore_backbone(spec, device="cpu"), z[spec.backbone["latent"]["size"]]
        assert spec.hash == feature_spec(again, "squash").hash
        for one, other in zip(backbone(latents), again(latents), strict=True):
            assert torch.equal(one, other)


def test_raw_weights_and_another_seed_give_other_features() -> None:
    z = latents_of([1], 16)
    usual, raw, noisy = (
        load_backbone(GOLDEN, blocks=[7], device="cpu", **options)(z)[0]
        for options in ({}, {"weights": "g"}, {"seed": 1})
    )
    assert not torch.equal(usual, raw)
    assert not torch.equal(usual, noisy)


@pytest.mark.parametrize("key", [None, "truncation.avg_latent", "latent_avg"])
def test_the_average_style_is_read_or_computed(key: str | None, tmp_path: Path) -> None:
    state = stylegan()
    if key is not None:
        state[key] = torch.arange(18.0 * WIDTH).reshape(18, WIDTH)
    network = loaded(saved(state, tmp_path))
    generator = network.generator
    if key is None:
        assert network.architecture["average"] == "of 8000 draws"
        with torch.inference_mode():
            expected = generator.mapping(latents_of(range(8000), WIDTH)).mean(dim=0, keepdim=True)
        torch.testing.assert_close(generator.average, expected)
    else:
        assert network.architecture["average"] == "stored"
        assert torch.equal(generator.average, state[key][:4])


def test_styles_are_moved_towards_the_average(tmp_path: Path) -> None:
    average = torch.randn(1, WIDTH)
    state = {"net": stylegan((4, 8, 16, 32, 64)), "latent_avg": average}
    generator = loaded(saved(state, tmp_path)).generator
    z = latents_of([3, 4], WIDTH)
    with torch.inference_mode():
        w, styles = generator.mapping(z), generator.styles(z)
    assert styles.shape == (2, 10, WIDTH)
    for layer in range(10):
        expected = average + 0.7 * (w - average) if layer < 7 else w
        torch.testing.assert_close(styles[:, layer], expected)


def test_a_thousand_pixels_may_be_read_on_the_published_grid(tmp_path: Path) -> None:
    state = stylegan(tuple(4 * 2**n for n in range(9)))
    path = saved({"net": state, "latent_avg": torch.zeros(WIDTH)}, tmp_path)
    for size, grid in ((None, (1024, 1024)), (512, (512, 512))):
        backbone = load_backbone(path, size=size, device="cpu", blocks=[16])
        assert backbone.row_shape == grid
        assert backbone.layers[0].map_size == "1024x1024"
    with pytest.raises(InputError, match="images have one size, 1024x1024"):
        load_backbone(path, size=256)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"g_synthesis.blocks.8x8.conv1.bias": None}, r"'.*8x8.conv1.bias' is missing"),
        (GREY, "draws images of 1 channels: expected 3"),
        ({"g_synthesis.torgb.bias": torch.zeros(4)}, r"shape \(4,\), not 3"),
        ({"g_synthesis.extra": torch.zeros(4)}, "it also has 'g_synthesis.extra'"),
        ({"g_synthesis.blocks.16x16.const": torch.zeros(4)}, "16x16.conv0_up.weight' is missing"),
        ({"g_synthesis.blocks.32x32.conv1.bias": torch.zeros(4)}, r"lacks blocks: .*\[4, 8, 32\]"),
        ({"latent_avg": torch.zeros(3, WIDTH)}, "average style is of 3 layers.*has 4"),
        ({"latent_avg": torch.zeros(5)}, r"'latent_avg' is of shape \(5,\), not"),
    ],
)
def test_another_stylegan_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    state = stylegan() | change
    path = saved({k: v for k, v in state.items() if v is not None}, tmp_path)
    with pytest.raises(InputError, match=words):
        load_backbone(path)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("mapping.embed.weight", "is conditioned on a class: expected an unconditional StyleGAN2"),
        ("synthesis.b8.skip.weight", "is of the 'resnet' architecture"),
        ("synthesis.b8.unknown", "as expected: "),
    ],
)
def test_another_stylegan2_is_refused(key: str, words: str, tmp_path: Path) -> None:
    signs = ("mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.affine.weight")
    path = saved({name: torch.zeros(4, 4) for name in (*signs, key)}, tmp_path)
    with pytest.raises(InputError, match=words):
        load_backbone(path)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("torch_utils.persistence", r"torch.save\(G_ema.state_dict\(\), 'generator.pt'\)"),
        ("dnnlib.tflib.network", "convert it with convert_weight.py"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickled_generator_is_refused_with_what_to_convert(
    module: str, words: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = module.split(".")
    for depth in range(1, len(names) + 1):
        name = ".".join(names[:depth])
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    theirs = sys.modules[module]
    theirs.Network = type("Network", (), {"__module__": module})  # type: ignore[attr-defined]
    whole = {"training_set_kwargs": None, "G_ema": theirs.Network()}
    path = tmp_path / "network.pkl"
    path.write_bytes(pickle.dumps(whole, protocol=protocol))
    with pytest.raises(InputError, match=f"would run NVIDIA's code when read.*{words}"):
        load_backbone(path)
