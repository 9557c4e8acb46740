"""What a run may begin from, and what it refuses to train."""

import json

import pytest
import torch
from dseg.extract.networks.diffusion.noise import NoiseSchedule
from dseg.extract.networks.options import CheckpointOptions
from dseg.pretrain.network.folder import scheduler_of, write_network
from dseg.pretrain.network.presets import PRESETS, build, levels_of
from dseg.pretrain.network.start import begin
from dseg.store.errors import InputError

HEADS, STEPS = CheckpointOptions(head_channels=16), CheckpointOptions(diffusion_steps=100)


def start(init=None, init_options=None, **given):
    settings = {"preset": None, "n_images": 5, "size": None, "schedule": None, "seed": 0}
    return begin(
        init=init and str(init),
        init_options=init_options or CheckpointOptions(),
        **{**settings, **given},
    )


@pytest.fixture
def folder(unet, tmp_path):
    """Write a checkpoint of a network and its schedule."""

    def write(steps=1000, **config):
        scheduler = scheduler_of(NoiseSchedule.named("linear", steps))
        write_network(unet(**config), scheduler, tmp_path / "init", {})
        return tmp_path / "init"

    return write


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_new_network_is_by_default_the_one_for_so_many_images():
    assert start(n_images=150).facts == {"network": "tiny"}
    assert start(n_images=150).size == 64
    small = start(n_images=1000, size=32)
    assert small.facts == {"network": "small"}
    assert small.origin == "'small', new"
    assert small.parameters == sum(p.numel() for p in small.network.parameters())


def test_the_seed_is_that_of_the_weights():
    one, same, other = (start(size=32, seed=seed).network.conv_in.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("size", [32, 36, 96])
def test_a_new_network_begins_with_no_noise_at_all(size):
    """Its last layer is zero, and every residual branch's."""
    network = build(PRESETS["tiny"], size).eval()
    x = torch.randn(1, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(network(x, 5).sample, torch.zeros_like(x))
    assert len(network.up_blocks) == levels_of(size)


@pytest.mark.parametrize("size", [1, 8, 20, 33, 50])
def test_a_size_that_no_network_fits(size):
    with pytest.raises(InputError, match="give a --size that is a multiple of 4 and at least 32"):
        start(size=size)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "huge"}, "unknown network 'huge': use one of tiny, small, base, large"),
        (
            {"init_options": CheckpointOptions(head_channels=16)},
            "--head-channels describes a guided",
        ),
        (
            {"init_options": CheckpointOptions(diffusion_steps=100)},
            "--diffusion-steps describes a guided",
        ),
    ],
)
def test_what_a_new_network_does_not_take(given, words):
    with pytest.raises(InputError, match=words):
        start(**given)


def test_a_checkpoint_brings_its_own(folder):
    assert start(folder(sample_size=16)).size == 16
    assert start(folder(), size=12).size == 12
    begun = start(folder(steps=200))
    assert begun.origin.endswith("init")
    assert len(begun.scheduler.betas) == 200
    assert begun.facts["init"]["sha256"]


@pytest.mark.parametrize(
    ("config", "given", "words"),
    [
        ({}, {"preset": "tiny"}, "--network tiny is for a new network, but --init gives one"),
        ({}, {"schedule": "cosine"}, "schedule cannot be set for this checkpoint"),
        (
            {},
            {"init_options": CheckpointOptions(heads=2)},
            "heads cannot be set for this checkpoint",
        ),
        ({}, {"size": 9}, "both sides must be multiples of 2: got 9x9, the nearest is 8x8"),
        (
            {"sample_size": (8, 16)},
            {},
            "is for images of 8x16, but pretraining needs square images",
        ),
        ({"sample_size": None}, {}, "does not state its image size"),
        ({"in_channels": 4, "out_channels": 4}, {}, r"takes 4 channels: expected 3 \(RGB\)"),
        (
            {"out_channels": 1},
            {},
            r"predicts 1 channels: expected 3 \(the noise of an RGB image\), or 6",
        ),
        ({"num_class_embeds": 3}, {}, "is of a class-conditional network: expected an uncond"),
        ({"time_embedding_type": "fourier"}, {}, "has a fourier time embedding"),
        ({"steps": 8}, {}, r"beta_start and beta_end are \[0.0125, 2.5\]: expected"),
    ],
)
def test_a_checkpoint_that_cannot_be_trained_further(folder, config, given, words):
    with pytest.raises(InputError, match=words):
        start(folder(**config), **given)


def test_another_aim_than_the_noise(folder):
    path = folder()
    change(path / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    with pytest.raises(
        InputError, match="was trained to predict 'v_prediction', but only networks"
    ):
        start(path)
    with pytest.raises(InputError, match="v_prediction"):
        start(path / "unet")


def test_a_network_of_latents(folder):
    path = folder()
    change(path / "model_index.json", vqvae=["diffusers", "VQModel"])
    for network in (path, path / "unet"):
        with pytest.raises(InputError, match="of latents, with their autoencoder: expected an unc"):
            start(network)


def test_heads_that_a_folder_cannot_express(golden_checkpoint):
    """A fixed number of heads can be told as channels a head only where all levels are alike."""
    alike = start(
        golden_checkpoint("improved64"), CheckpointOptions(heads=4, attention_order="new")
    )
    assert alike.network.config.attention_head_dim == 16
    with pytest.raises(InputError, match="fixed number of attention heads on levels of differ"):
        start(golden_checkpoint("adm64"), CheckpointOptions(heads=4))
