"""Steps of a sampler against what they are derived from."""

import math

import numpy as np
import pytest
import torch
from dseg.extract.networks.diffusion.noise import NoiseSchedule
from dseg.generate.respacing import SamplingSchedule
from dseg.generate.steps import (
    ddim_sigma,
    ddim_step,
    ddpm_step,
    log_variance,
    predicted_image,
)
from dseg.store.errors import InputError
from torch import Tensor

SCHEDULE = SamplingSchedule.respaced(NoiseSchedule.named("linear"), "20")
CLOSE = {"atol": 2e-5, "rtol": 2e-5}


def randn(seed: int) -> Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


def noised(x: Tensor, epsilon: Tensor, step: int) -> Tensor:
    level = SCHEDULE.alphas_cumprod[step]
    return math.sqrt(level) * x + math.sqrt(1 - level) * epsilon


@pytest.mark.parametrize("step", [1, 7, 19])
def test_the_posterior_is_that_of_bayes(step: int) -> None:
    """q(x_{t-1} | x_t, x_0) ~ q(x_t | x_{t-1}) q(x_{t-1} | x_0), on a grid."""
    x_0, x_t = 0.3, -0.8
    beta, before = SCHEDULE.betas[step], SCHEDULE.alphas_cumprod[step - 1]
    grid = np.linspace(-8, 8, 200_001)
    log = -((x_t - math.sqrt(1 - beta) * grid) ** 2) / (2 * beta)
    log -= (grid - math.sqrt(before) * x_0) ** 2 / (2 * (1 - before))
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    mean = (weights * grid).sum()
    variance = (weights * (grid - mean) ** 2).sum()
    own = ddpm_step(torch.tensor(x_0), torch.tensor(x_t), step, SCHEDULE, 0.0, None)
    assert float(own) == pytest.approx(mean, rel=1e-4)
    assert SCHEDULE.posterior_variance[step] == pytest.approx(variance, rel=1e-4)


def test_a_learned_variance_lies_between_the_fixed_ones() -> None:
    small, large = (log_variance(5, SCHEDULE, kind) for kind in ("fixed_small", "fixed_large"))
    ends = torch.tensor([-1.0, 1.0, 0.0])
    learned = log_variance(5, SCHEDULE, "learned_range", ends)
    assert isinstance(learned, Tensor)
    expected = torch.tensor([small, large, (small + large) / 2])
    torch.testing.assert_close(learned, expected)
    assert large == pytest.approx(math.log(SCHEDULE.betas[5]))
    with pytest.raises(InputError, match="the network does not give one"):
        log_variance(5, SCHEDULE, "learned_range")


@pytest.mark.parametrize("step", [0, 4, 19])
def test_whatever_is_predicted_it_is_the_same_image(step: int) -> None:
    x, epsilon = randn(0).clamp(-1, 1), randn(1)
    x_t, level = noised(x, epsilon, step), SCHEDULE.alphas_cumprod[step]
    v = math.sqrt(level) * epsilon - math.sqrt(1 - level) * x
    for kind, output in {"epsilon": epsilon, "v_prediction": v, "sample": x}.items():
        found = predicted_image(output, x_t, step, SCHEDULE, kind)
        torch.testing.assert_close(found, x, atol=1e-3, rtol=1e-3)
    with pytest.raises(InputError, match=r"predicts 'flow': expected one of epsilon"):
        predicted_image(x, x_t, step, SCHEDULE, "flow")


def test_images_are_clipped_to_a_limit_or_not() -> None:
    wide = torch.tensor([-3.0, 0.5, 9.0])
    for limit, expected in ((1.0, [-1, 0.5, 1]), (2.0, [-2, 0.5, 2]), (None, [-3, 0.5, 9])):
        found = predicted_image(wide, wide, 3, SCHEDULE, "sample", limit)
        assert found.tolist() == expected


@pytest.mark.parametrize("step", [1, 8, 19])
def test_ddim_with_eta_1_is_an_ancestral_step(step: int) -> None:
    """Song et al., ICLR 2021, section 4.1: of the small fixed variance."""
    x_0, x_t, z = randn(0), randn(1), randn(2)
    sigma = ddim_sigma(step, SCHEDULE, 1.0)
    small = log_variance(step, SCHEDULE, "fixed_small")
    assert sigma**2 == pytest.approx(SCHEDULE.posterior_variance[step])
    ancestral = ddpm_step(x_0, x_t, step, SCHEDULE, small, z)
    torch.testing.assert_close(ddim_step(x_0, x_t, step, SCHEDULE, sigma, z), ancestral, **CLOSE)


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_noise_level_of_a_step_is_that_of_the_process(eta: float) -> None:
    """With the true image, x_{t-1} is the image noised to that step."""
    x, step = torch.full((200_000,), 0.4), 9
    generator = torch.Generator().manual_seed(0)
    epsilon, z = (torch.randn(x.shape, generator=generator) for _ in range(2))
    sigma = ddim_sigma(step, SCHEDULE, eta)
    after = ddim_step(x, noised(x, epsilon, step), step, SCHEDULE, sigma, z)
    level = SCHEDULE.alphas_cumprod[step - 1]
    assert float(after.mean()) == pytest.approx(math.sqrt(level) * 0.4, abs=0.01)
    assert float(after.std()) == pytest.approx(math.sqrt(1 - level), rel=0.01)


def test_the_last_step_takes_no_noise() -> None:
    x_0, x_t, z = randn(0), randn(1), randn(2)
    assert ddim_sigma(0, SCHEDULE, 1.0) == 0
    torch.testing.assert_close(ddim_step(x_0, x_t, 0, SCHEDULE, 0.0, z), x_0, **CLOSE)
    torch.testing.assert_close(ddpm_step(x_0, x_t, 0, SCHEDULE, 0.0, z), x_0, **CLOSE)
