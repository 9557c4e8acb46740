"""One step of a sampler: from x_t to x_{t-1}.

With ᾱ and β of the respaced process, and ᾱ' that of the step after:

    ε   = (x_t - sqrt(ᾱ) x_0) / sqrt(1 - ᾱ)            the noise in x_t
    v   = sqrt(ᾱ) ε - sqrt(1 - ᾱ) x_0                  Salimans and Ho, ICLR 2022, appendix D
    DDPM: x_{t-1} = μ(x_0, x_t) + exp(log σ² / 2) z     Ho et al., NeurIPS 2020, eq. 6, 7
    DDIM: x_{t-1} = sqrt(ᾱ') x_0 + sqrt(1 - ᾱ' - σ²) ε + σ z
          σ = η sqrt((1 - ᾱ') / (1 - ᾱ)) sqrt(1 - ᾱ / ᾱ')   Song et al., ICLR 2021, eq. 12, 16

In the last step z does not count. Numbers are computed in float64, images in float32.
"""

import math
from typing import Literal

from torch import Tensor

from ..store.errors import InputError
from .respacing import SamplingSchedule

__all__ = [
    "PREDICTIONS",
    "Variance",
    "ddim_sigma",
    "ddim_step",
    "ddpm_step",
    "log_variance",
    "predicted_image",
]

Variance = Literal["learned_range", "fixed_small", "fixed_large"]

PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a network may predict, as diffusers names it: the noise, v, or the image x_0."""


def predicted_image(
    output: Tensor,
    x_t: Tensor,
    step: int,
    schedule: SamplingSchedule,
    prediction: str = "epsilon",
    limit: float | None = 1.0,
) -> Tensor:
    """Return the image x_0 that the network's output amounts to.

    Parameters
    ----------
    output, x_t : tensors of shape (B, C, H, W), float32
    step : int
        Of the respaced process, 0 being the last one taken.
    schedule : SamplingSchedule
    prediction : str
        Of `PREDICTIONS`: what the output is.
    limit : float, optional
        Values are clipped to [-limit, limit]; None: not at all.

    Returns
    -------
    tensor of shape (B, C, H, W), float32

    Raises
    ------
    InputError
        If there is no such prediction.
    """
    level = float(schedule.alphas_cumprod[step])
    if prediction == "epsilon":
        image = math.sqrt(1 / level) * x_t - math.sqrt(1 / level - 1) * output
    elif prediction == "v_prediction":
        image = math.sqrt(level) * x_t - math.sqrt(1 - level) * output
    elif prediction == "sample":
        image = output
    else:
        raise InputError(
            f"the network predicts '{prediction}': expected one of {', '.join(PREDICTIONS)}"
        )
    return image if limit is None else image.clamp(-limit, limit)


def log_variance(
    step: int, schedule: SamplingSchedule, variance: Variance, values: Tensor | None = None
) -> Tensor | float:
    """Return log σ² of an ancestral step.

    Parameters
    ----------
    step : int
    schedule : SamplingSchedule
    variance : {"learned_range", "fixed_small", "fixed_large"}
        As the network says, between the two others; that of the posterior; β.
    values : tensor of shape (B, C, H, W), float32, optional
        The network's second output, for "learned_range": -1 is the smaller, 1 the larger.

    Returns
    -------
    float, or tensor of shape (B, C, H, W)

    References
    ----------
    Nichol and Dhariwal, ICML 2021, eq. 15; Ho et al., section 3.2. guided-diffusion's fixed large
    variance has that of the posterior at the last step, where it does not count.
    """
    small = float(schedule.posterior_log_variance[step])
    large = math.log(float(schedule.betas[step]))
    if variance == "fixed_small":
        return small
    if variance == "fixed_large":
        return large if step > 0 else small
    if values is None:
        raise InputError("the variance is learned, but the network does not give one")
    share = (values + 1) / 2
    return share * large + (1 - share) * small


def ddpm_step(
    x_0: Tensor,
    x_t: Tensor,
    step: int,
    schedule: SamplingSchedule,
    log_var: Tensor | float,
    noise: Tensor | None,
) -> Tensor:
    """Return x_{t-1} of an ancestral step.

    Parameters
    ----------
    x_0 : tensor of shape (B, C, H, W), float32
        The predicted image.
    x_t : tensor of that shape
    step : int
    schedule : SamplingSchedule
    log_var : float, or tensor of that shape
        See `log_variance`.
    noise : tensor of that shape, optional
        z, from a normal distribution; None in the last step.
    """
    of_image, of_noisy = schedule.posterior_mean_coefficients
    mean = float(of_image[step]) * x_0 + float(of_noisy[step]) * x_t
    if noise is None or step == 0:
        return mean
    if isinstance(log_var, Tensor):
        return mean + (0.5 * log_var).exp() * noise
    return mean + math.exp(0.5 * log_var) * noise


def ddim_sigma(step: int, schedule: SamplingSchedule, eta: float) -> float:
    """Return σ of a DDIM step; 0 in the last step, and where eta is 0."""
    if step == 0:
        return 0.0
    level, after = (
        float(table[step]) for table in (schedule.alphas_cumprod, schedule.alphas_cumprod_prev)
    )
    return eta * math.sqrt((1 - after) / (1 - level)) * math.sqrt(1 - level / after)


def ddim_step(
    x_0: Tensor,
    x_t: Tensor,
    step: int,
    schedule: SamplingSchedule,
    sigma: float,
    noise: Tensor | None,
) -> Tensor:
    """Return x_{t-1} of a DDIM step; the noise ε is what remains of x_t beside x_0.

    Parameters
    ----------
    x_0, x_t, noise : tensors of shape (B, C, H, W), float32
        As of `ddpm_step`.
    step : int
    schedule : SamplingSchedule
    sigma : float
        See `ddim_sigma`.
    """
    level, after = (
        float(table[step]) for table in (schedule.alphas_cumprod, schedule.alphas_cumprod_prev)
    )
    epsilon = (math.sqrt(1 / level) * x_t - x_0) / math.sqrt(1 / level - 1)
    moved = math.sqrt(after) * x_0 + math.sqrt(max(0.0, 1 - after - sigma**2)) * epsilon
    return moved if noise is None or sigma == 0 else moved + sigma * noise
