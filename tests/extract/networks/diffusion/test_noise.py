import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.extract.networks.diffusion.noise import (
    NoiseSchedule,
    alphas_cumprod,
    q_sample,
    shared_noise,
)
from dseg.store.errors import InputError


@pytest.mark.parametrize("name", ["linear_1000", "cosine_1000", "cosine_4000"])
def test_tables_equal_the_published(name: str, small_golden: Path) -> None:
    tables = np.load(small_golden / "schedule/tables.npz")
    kind, steps = name.split("_")
    schedule = NoiseSchedule.named(kind, int(steps))
    # The published code stores 1 - ᾱ_t / ᾱ_{t-1} as beta_t, which costs the last bit of 1.
    betas, products = (tables[f"{name}_all_plain.{t}"] for t in ("betas", "alphas_cumprod"))
    np.testing.assert_allclose(schedule.betas, betas, rtol=1e-12, atol=2.3e-16)
    np.testing.assert_allclose(schedule.alphas_cumprod, products, rtol=1e-12, atol=0)
    for table in ("sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"):
        expected = tables[f"{name}_all_plain.{table}"]
        got = getattr(schedule, table)[::37]
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=0)
    assert np.array_equal(alphas_cumprod(kind, int(steps)), schedule.alphas_cumprod)


def test_linear_betas_scale_with_the_number_of_steps() -> None:
    betas = NoiseSchedule.named("linear", 250).betas
    assert betas[[0, -1]] == pytest.approx([4e-4, 0.08])


def diffusers_config(**changes: object) -> dict[str, object]:
    config = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
    return {**config, "num_train_timesteps": 1000, **changes}


def test_diffusers_schedules() -> None:
    from_config = NoiseSchedule.from_diffusers
    linear = from_config(diffusers_config())
    np.testing.assert_allclose(linear.betas, NoiseSchedule.named("linear").betas, rtol=1e-12)
    scaled = from_config(diffusers_config(beta_schedule="scaled_linear", num_train_timesteps=3))
    np.testing.assert_allclose(np.sqrt(scaled.betas), np.linspace(0.01, 0.02**0.5, 3))
    cosine = from_config(diffusers_config(beta_schedule="squaredcos_cap_v2"))
    np.testing.assert_array_equal(cosine.betas, NoiseSchedule.named("cosine").betas)
    trained = from_config({"trained_betas": [0.1, 0.2]})
    np.testing.assert_allclose(trained.alphas_cumprod, [0.9, 0.72])
    assert json.loads(json.dumps(trained.description)) == trained.description
    assert trained.description["timesteps"] == 2
    other = from_config({"trained_betas": [0.1, np.nextafter(0.2, 1)]})
    assert other.description != trained.description


@pytest.mark.parametrize(("beta_schedule"), ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_diffusers_schedules_equal_diffusers_own(beta_schedule: str) -> None:
    from diffusers import DDPMScheduler

    own = DDPMScheduler(beta_schedule=beta_schedule, num_train_timesteps=200)
    ours = NoiseSchedule.from_diffusers(dict(own.config))
    np.testing.assert_allclose(ours.alphas_cumprod, own.alphas_cumprod.numpy(), rtol=2e-4)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"_class_name": "ScoreSdeVeScheduler"}, "None of scheduler ScoreSdeVeScheduler"),
        (diffusers_config(beta_schedule="sigmoid"), "'sigmoid'.* is not known: expected"),
        (diffusers_config(beta_end=None), "is not known"),
        (diffusers_config(rescale_betas_zero_snr=True), "zero SNR: not supported"),
        (diffusers_config(snr_shift_scale=3.0), "snr_shift_scale 3.0.: not supported"),
        (diffusers_config(use_flow_sigmas=True), "is of a flow"),
        (diffusers_config(prediction_type="flow_prediction"), "is of a flow"),
        (diffusers_config(trained_betas=[0.1, 0.2]), "2 trained_betas but num_train_timesteps 100"),
        ({"trained_betas": [0.1, 1.2]}, r"from 0 to 1, got \[0.1, 1.2\]"),
        ({"trained_betas": [0.1, float("nan")]}, "must be a list of numbers from 0 to 1"),
        ({"trained_betas": "linear"}, "must be a list of numbers from 0 to 1, got linear"),
        ({"trained_betas": []}, r"must be a list of numbers from 0 to 1, got \[\]"),
    ],
)
def test_an_unknown_diffusers_schedule_is_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        NoiseSchedule.from_diffusers(config)


def test_wrong_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"'quadratic': use one of \['cosine', 'linear'\]"):
        NoiseSchedule.named("quadratic")
    with pytest.raises(InputError, match="at least 1 timestep, got 0"):
        NoiseSchedule.named("linear", 0)


def test_noise_depends_on_seed_and_shape_alone() -> None:
    torch.manual_seed(1)
    first = shared_noise(0, (8, 12))
    torch.manual_seed(2)
    assert torch.equal(first, shared_noise(0, (8, 12)))
    assert not torch.equal(first, shared_noise(1, (8, 12)))
    assert first.shape == (1, 3, 8, 12)


def test_q_sample_keeps_the_variance() -> None:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    x_t = q_sample(x, [0, 500, 999], shared_noise(0, (64, 64)), NoiseSchedule.named("linear"))
    assert x_t.shape == (3, 2, 3, 64, 64)
    torch.testing.assert_close(x_t.std((1, 2, 3, 4)), torch.ones(3), atol=0.02, rtol=0)
    torch.testing.assert_close(x_t[0], x, atol=0.06, rtol=0)
