"""The loss on images that are not trained on, and the sheets of samples."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from dseg.pretrain.network.samples import write_samples
from dseg.pretrain.train.heldout_loss import HeldOut
from PIL import Image


def images(count):
    return list(np.random.default_rng(0).uniform(-1, 1, (count, 3, 8, 8)).astype(np.float32))


@pytest.mark.parametrize("count", [1, 5, 64])
def test_the_loss_does_not_depend_on_the_batch(unet, count):
    network = unet(1).eval()
    held_out = HeldOut(images(count), DDPMScheduler(), seed=0)
    losses = [held_out.loss(network, batch_size) for batch_size in (64, 7, 100, 64)]
    assert losses[0] == losses[3]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_the_loss_is_over_all_levels_of_noise(unet):
    """A network that gives x_t itself errs by (1 - sqrt(1-ᾱ))² + ᾱ, where images are of ±1."""

    class Same(torch.nn.Linear):
        def forward(self, x_t, t):
            return type("Output", (), {"sample": x_t})

    signs = [np.sign(image) for image in images(64)]
    schedule = DDPMScheduler()
    loss = HeldOut(signs, schedule, seed=0).loss(Same(1, 1), 16)
    bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    assert loss == pytest.approx(float(((1 - np.sqrt(1 - bar)) ** 2 + bar).mean()), rel=0.05)


def test_a_sheet_is_drawn_by_ddim(unet, tmp_path):
    """Images side by side, the same whatever goes through the network together."""
    network = unet(1).eval()
    for name, at_once in (("a", 5), ("b", 3)):
        write_samples(network, DDPMScheduler(), 5, tmp_path / f"{name}.png", at_once=at_once)
    sheets = [np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in "ab"]
    assert sheets[0].shape == (20, 30, 3)
    assert np.abs(sheets[0] - sheets[1]).max() <= 1
    assert (sheets[0][8:10] == 255).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_network_that_knows_the_image_draws_it(tmp_path):
    """DDIM with the true noise of one image ends in that image."""
    schedule = DDPMScheduler()
    target = torch.linspace(-0.9, 0.9, 3 * 8 * 8).view(1, 3, 8, 8)

    class Oracle(torch.nn.Linear):
        config = type("Config", (), {"sample_size": 8})

        def forward(self, x_t, t):
            bar = schedule.alphas_cumprod[t]
            noise = (x_t - bar.sqrt() * target) / (1 - bar).sqrt()
            return type("Output", (), {"sample": noise})

    write_samples(Oracle(1, 1), schedule, 3, tmp_path / "sheet.png", at_once=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    expected = ((target[0] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert sheet.shape == (20, 20, 3)  # two by two, the last place empty
    for y, x in ((0, 0), (0, 10), (10, 0)):
        assert np.abs(sheet[y : y + 8, x : x + 8] - expected).max() <= 1
    assert (sheet[10:, 10:] == 255).all()
