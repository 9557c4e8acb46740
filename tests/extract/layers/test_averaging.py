"""Means over draws of the noise and over the mirrored image."""

from pathlib import Path

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.layers.averaging import mean_over, with_mirrored
from dseg.extract.networks.diffusion.noise import shared_noise
from dseg.store.errors import InputError

X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def test_the_first_draw_is_the_single_one() -> None:
    several = shared_noise(4, (6, 8), draws=3)
    assert torch.equal(several[:1], shared_noise(4, (6, 8)))
    assert not torch.equal(several[1], several[2])


def test_means_are_means() -> None:
    draws = [[torch.full((1, 2), float(n)), torch.full((3,), 10.0 * n)] for n in (1, 2, 6)]
    assert [one.flatten()[0].item() for one in mean_over(iter(draws))] == [3, 30]
    ramp = torch.arange(4.0).view(1, 1, 1, 4)
    (mean,) = with_mirrored(lambda x: [x * x], ramp)
    assert torch.equal(mean, ramp * ramp)  # what the mirror image sees stands where it was seen


def test_draws_average_backbones_of_each_noise(diffusers_folder: Path) -> None:
    averaged = load_backbone(diffusers_folder, [50], [2], draws=3, device="cpu")
    single = load_backbone(diffusers_folder, [50], [2], device="cpu")
    each = []
    for noise in shared_noise(0, single.row_shape, draws=3):
        single._noise = noise.unsqueeze(0)
        each.append(single(X)[0])
    torch.testing.assert_close(averaged(X)[0], torch.stack(each).mean(0), **CLOSE)


@pytest.mark.parametrize("extras", [False, True])
def test_flip_makes_features_of_a_mirrored_image_mirrored(
    diffusers_folder: Path, extras: bool
) -> None:
    backbone = load_backbone(diffusers_folder, [50], [2], flip=True, pixels=extras, device="cpu")
    seen, mirrored = backbone(X), backbone(X.flip(-1))
    torch.testing.assert_close(mirrored[0], seen[0].flip(-1), **CLOSE)
    if extras:  # colour and position stay those of the image
        plain = load_backbone(diffusers_folder, [50], [2], pixels=True, device="cpu")
        assert torch.equal(seen[1], plain(X)[1])


def test_averages_are_features_of_their_own_and_found_again(diffusers_folder: Path) -> None:
    hashes = set()
    for options in ({}, {"draws": 2}, {"flip": True}):
        backbone = load_backbone(diffusers_folder, [50], [2], device="cpu", **options)
        spec = feature_spec(backbone, "squash")
        hashes.add(spec.hash)
        again = restore_backbone(spec, device="cpu")
        torch.testing.assert_close(again(X)[0], backbone(X)[0], atol=0, rtol=0)
    assert len(hashes) == 3


def test_a_network_without_noise_has_no_draws(tmp_path: Path) -> None:
    from transformers import ViTMAEConfig, ViTMAEModel

    config = ViTMAEConfig(
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
    )
    ViTMAEModel(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="draws cannot be set for this checkpoint: its"):
        load_backbone(tmp_path, draws=3)
    backbone = load_backbone(tmp_path, flip=True, device="cpu")
    seen, mirrored = backbone(X), backbone(X.flip(-1))
    torch.testing.assert_close(mirrored[0], seen[0].flip(-1), **CLOSE)
