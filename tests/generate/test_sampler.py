"""Drawing: one seed, one image, whatever is drawn with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dseg.extract.networks.diffusion.noise import NoiseSchedule
from dseg.extract.networks.options import CheckpointOptions
from dseg.extract.registry import load_generator
from dseg.generate.noise import SeededNoise
from dseg.generate.sampler import Sampler, SamplerSettings, to_uint8
from dseg.store.errors import InputError

LUCIDRAINS = Path(__file__).parents[1] / "data/golden/lucidrains"
MakeModel = Callable[..., Path]
DDPM = {"sampler": "ddpm", "respacing": "6"}
DDIM = {"sampler": "ddim", "respacing": "5", "eta": 0.5}


def sampler(checkpoint: Path, told: CheckpointOptions | None = None, **settings: Any) -> Sampler:
    loaded = load_generator(checkpoint, told)
    return Sampler(loaded, SamplerSettings(**{"device": "cpu"} | settings))


@pytest.fixture(scope="module")
def drawer(model: Path) -> Sampler:
    return sampler(model, **DDPM)


@pytest.mark.parametrize("settings", [DDPM, DDIM])
def test_a_seed_draws_the_same_image_in_any_company(model: Path, settings: Any) -> None:
    one = sampler(model, **settings)
    seeds = [3, 11, 4, 0, 12]
    whole = one.draw(seeds, batch_size=5)
    assert (whole.shape, whole.dtype) == ((5, 16, 16, 3), np.uint8)
    for size in (1, 2, 3, 4):
        np.testing.assert_array_equal(one.draw(seeds, batch_size=size), whole)
    np.testing.assert_array_equal(one.draw(seeds[::-1]), whole[::-1])
    np.testing.assert_array_equal(one.draw([4]), whole[2:3])
    assert len({image.tobytes() for image in whole}) == 5
    assert one.draw([]).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("side", [32, 64])
def test_the_network_that_comes_along_does_so_too(side: int) -> None:
    """Convolutions of one image and of several, and by more threads, are summed in other orders."""
    one = sampler("builtin:dseg-64", respacing="2", size=side)
    whole = one.draw([0, 1, 2, 3], batch_size=4)
    np.testing.assert_array_equal(one.draw([2, 3], batch_size=1), whole[2:])
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 2)
    try:
        np.testing.assert_array_equal(one.draw([3, 0, 1]), whole[[3, 0, 1]])
        assert torch.get_num_threads() == threads + 2
    finally:
        torch.set_num_threads(threads)


def test_the_steps_are_those_of_the_plain_loop(model: Path) -> None:
    """Ho et al., NeurIPS 2020, algorithm 2, with diffusers' own forward."""
    one = sampler(model, sampler="ddpm", clip=False)
    unet = load_generator(model).unet
    schedule = NoiseSchedule.from_diffusers(
        {"beta_schedule": "linear", "beta_start": 1e-3, "beta_end": 0.2, "num_train_timesteps": 100}
    )
    beta, level = schedule.betas, schedule.alphas_cumprod
    noise = SeededNoise([7], one.shape)
    x = noise().double()
    with torch.inference_mode():
        for t in reversed(range(100)):
            epsilon = unet(x.float(), t).sample.double()
            x = (x - beta[t] / np.sqrt(1 - level[t]) * epsilon) / np.sqrt(1 - beta[t])
            if t:
                variance = beta[t] * (1 - level[t - 1]) / (1 - level[t])
                x = x + np.sqrt(variance) * noise()
    noise = SeededNoise([7], one.shape)
    with torch.inference_mode():
        *_, last = one.walk(noise(), lambda k: noise())
    torch.testing.assert_close(last.x, x.float(), atol=1e-3, rtol=1e-3)


def test_progress_is_told_step_by_step(drawer: Sampler) -> None:
    told: list[int] = []
    drawer.draw([1, 2, 3], batch_size=2, advance=told.append)
    assert told == [2] * 6 + [1] * 6


@pytest.mark.parametrize(
    ("rescale", "expected"), [(False, [75.0, 50, 25, 0]), (True, [750.0, 500, 250, 0])]
)
def test_the_network_sees_original_timesteps_and_equally_many_images(
    model: Path, rescale: bool, expected: list[float]
) -> None:
    loaded, timesteps, images = load_generator(model), list[float](), list[int]()

    def note_timesteps(module: Any, given: Any) -> None:
        timesteps.append(given[0].item())

    def note_images(module: Any, given: Any) -> None:
        images.append(len(given[0]))

    loaded.unet.time_proj.register_forward_pre_hook(note_timesteps)
    loaded.unet.conv_in.register_forward_pre_hook(note_images)
    settings = SamplerSettings(respacing="ddim4", rescale=rescale, device="cpu")
    Sampler(loaded, settings).draw([1, 2, 3], batch_size=3)
    assert timesteps == [t for t in expected for _ in range(2)]
    assert images == [2] * 8


def test_sizes_are_those_of_the_training_unless_others_are_given(model: Path) -> None:
    one = sampler(model, respacing="2", size=(16, 24))
    assert one.draw([1]).shape == (1, 16, 24, 3)
    assert sampler(model).shape == (3, 16, 16)
    assert sampler("builtin:dseg-64").shape == (3, 64, 64)  # its features take 128
    with pytest.raises(InputError, match="both sides must be multiples of 2: got 15x15"):
        sampler(model, size=15)


def test_levels_are_truncated_as_published() -> None:
    x = torch.tensor([-2.0, -1, -1 + 1.9 / 127.5, 0, 0.999, 1, 3]).view(1, 1, 1, 7)
    levels = to_uint8(x)
    assert levels.shape == (1, 1, 7, 3)
    assert levels[0, 0, :, 0].tolist() == [0, 0, 1, 127, 254, 255, 255]
    assert (levels[..., 0] == levels[..., 2]).all()


def test_images_of_a_class(diffusers_model: MakeModel) -> None:
    """As diffusers adds it; each class draws others."""
    checkpoint = diffusers_model(num_class_embeds=3)
    drawn = []
    for number in (0, 2):
        one = sampler(checkpoint, CheckpointOptions(class_number=number), respacing="3")
        assert one.facts()["class_number"] == number
        drawn.append(one.draw([5]))
        unet = load_generator(checkpoint, CheckpointOptions(class_number=number)).unet
        x = SeededNoise([5], one.shape)()
        with torch.inference_mode():
            first = next(one.walk(x, lambda k, x=x: x))
            epsilon = unet(x, 99, class_labels=torch.tensor([number])).sample
        level = one.schedule.alphas_cumprod[2]
        expected = ((x - np.sqrt(1 - level) * epsilon) / np.sqrt(level)).clamp(-1, 1)
        torch.testing.assert_close(first.x_0, expected, atol=2e-3, rtol=2e-3)
    assert not np.array_equal(*drawn)
    with pytest.raises(InputError, match="class-conditional network of 3 classes"):
        sampler(checkpoint)


def test_grey_networks_draw_grey_images(tmp_path: Path) -> None:
    from monai.networks.nets import DiffusionModelUNet

    torch.manual_seed(0)
    made = DiffusionModelUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        num_res_blocks=1,
        channels=(8, 16),
        attention_levels=(False, True),
        norm_num_groups=4,
        num_head_channels=4,
    ).eval()
    torch.save(made.state_dict(), tmp_path / "grey.pt")
    told = CheckpointOptions(head_channels=4, norm_groups=4)
    one = sampler(tmp_path / "grey.pt", told, size=16, respacing="3")
    drawn = one.draw([1, 2])
    assert drawn.shape == (2, 16, 16, 3)
    assert (drawn == drawn[..., :1]).all()
    x, level = SeededNoise([1], one.shape)(), one.schedule.alphas_cumprod[2]
    with torch.inference_mode():
        first = next(one.walk(x, lambda k: x))
        epsilon = made(x, torch.tensor([999]))
    expected = ((x - np.sqrt(1 - level) * epsilon) / np.sqrt(level)).clamp(-1, 1)
    torch.testing.assert_close(first.x_0, expected, atol=2e-2, rtol=1e-3)
    with pytest.raises(InputError, match="does not state its image size"):
        sampler(tmp_path / "grey.pt", told)


def test_a_lucidrains_file_says_what_it_predicts() -> None:
    one = sampler(LUCIDRAINS / "plain.pt", size=16, respacing="4")
    assert one.drawing.prediction == "v_prediction"
    assert one.draw([1, 2]).shape == (2, 16, 16, 3)
    with pytest.raises(InputError, match="self-conditioning"):
        sampler(LUCIDRAINS / "grey.pt", size=16)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ({}, ("epsilon", "fixed_small", 1.0)),
        ({"variance_type": "fixed_large"}, ("epsilon", "fixed_large", 1.0)),
        ({"variance_type": "fixed_small_log"}, ("epsilon", "fixed_small", 1.0)),
        ({"clip_sample": False}, ("epsilon", "fixed_small", None)),
        ({"clip_sample_range": 2.5}, ("epsilon", "fixed_small", 2.5)),
        ({"prediction_type": "v_prediction"}, ("v_prediction", "fixed_small", 1.0)),
        ({"prediction_type": "sample"}, ("sample", "fixed_small", 1.0)),
    ],
)
def test_images_are_drawn_as_the_scheduler_says(
    scheduler: dict[str, Any], expected: tuple[Any, ...], diffusers_model: MakeModel
) -> None:
    drawing = sampler(diffusers_model(scheduler)).drawing
    assert (drawing.prediction, drawing.variance, drawing.limit) == expected


def test_a_second_output_is_the_variance(diffusers_model: MakeModel) -> None:
    learned = diffusers_model({"variance_type": "learned_range"}, out_channels=6)
    one = sampler(learned, **DDPM)
    assert one.drawing.variance == "learned_range"
    fixed = sampler(learned, **DDIM)
    assert not np.array_equal(one.draw([1]), fixed.draw([1]))


@pytest.mark.parametrize(
    ("scheduler", "unet", "words"),
    [
        ({"thresholding": True}, {}, "thresholding"),
        ({"variance_type": "learned"}, {"out_channels": 6}, "expected learned_range"),
        ({"variance_type": "learned_range"}, {}, "its network gives no variance"),
        ({"prediction_type": "flow"}, {}, "predicts 'flow': expected one of epsilon"),
        ({"clip_sample_range": "wide"}, {}, "clip_sample_range of 'wide'"),
        ({}, {"out_channels": 4}, "takes 3 channels and gives 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    scheduler: dict[str, Any], unet: dict[str, Any], words: str, diffusers_model: MakeModel
) -> None:
    with pytest.raises(InputError, match=words):
        sampler(diffusers_model(scheduler, **unet))


def test_settings_that_contradict_are_refused(model: Path, drawer: Sampler) -> None:
    with pytest.raises(InputError, match="eta is of DDIM"):
        sampler(model, sampler="ddpm", eta=1.0)
    with pytest.raises(InputError, match="must be ddim or ddpm, got 'euler'"):
        sampler(model, sampler="euler")
    with pytest.raises(InputError, match="a batch has at least one image, got 0"):
        drawer.draw([1], batch_size=0)


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_half_precision_draws_nearly_the_same(model: Path, precision: str) -> None:
    exact, half = (
        sampler(model, respacing="5", precision=p).draw([1, 2]).astype(int)
        for p in ("float32", precision)
    )
    assert not np.array_equal(exact, half)
    assert np.abs(exact - half).mean() < 10
