"""The noise that an image gets before the network sees it.

A diffusion process of T steps has variances ``beta_t``. With ``ᾱ_t = prod(1 - beta_s, s <= t)``,

    x_t = sqrt(ᾱ_t) x + sqrt(1 - ᾱ_t) ε

is the image x at timestep t (Ho et al., NeurIPS 2020, eq. 4). Tables are computed in float64 and
cast to float32 at the end: with float32 betas x_t is off by 2e-6.
"""

import hashlib
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....store.errors import InputError

__all__ = ["MOST_TIMESTEPS", "NoiseSchedule", "alphas_cumprod", "q_sample", "shared_noise"]

MAX_BETA = 0.999

MOST_TIMESTEPS = 100_000
"""T of a process. Published ones have 1000 to 4000; tables of each take 8 bytes a step."""


def linear_betas(steps: int, start: float, end: float) -> NDArray[np.float64]:
    """Return ``steps`` variances, evenly spaced from ``start`` to ``end``."""
    return np.linspace(start, end, steps, dtype=np.float64)


def scaled_linear_betas(steps: int, start: float, end: float) -> NDArray[np.float64]:
    """Return ``steps`` variances whose roots are evenly spaced."""
    return linear_betas(steps, math.sqrt(start), math.sqrt(end)) ** 2


def cosine_betas(steps: int) -> NDArray[np.float64]:
    """Return the variances for ``ᾱ_t = cos²((t/T + 0.008) / 1.008 · π/2)``, at most 0.999.

    Nichol and Dhariwal, ICML 2021, eq. 17.
    """

    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    ratios = [alpha_bar((i + 1) / steps) / alpha_bar(i / steps) for i in range(steps)]
    return np.minimum(1 - np.array(ratios, dtype=np.float64), MAX_BETA)


@dataclass(frozen=True)
class NoiseSchedule:
    """The variances of a diffusion process.

    Parameters
    ----------
    betas : array of shape (T,), float64
    description : mapping
        How the betas came about, in plain JSON values.
    """

    betas: NDArray[np.float64]
    description: Mapping[str, Any]

    @classmethod
    def named(cls, schedule: str, steps: int = 1000) -> Self:
        """Return guided-diffusion's schedule of that name.

        Parameters
        ----------
        schedule : {"linear", "cosine"}
            "linear" runs from 1e-4 to 0.02, both scaled by 1000 / T.
        steps : int
            T, the timesteps of the process.

        Raises
        ------
        InputError
            If there is no schedule of that name, or not 1 to `MOST_TIMESTEPS` steps.
        """
        _refuse_length(steps)
        scale = 1000 / steps
        makers: dict[str, Callable[[], NDArray[np.float64]]] = {
            "linear": lambda: linear_betas(steps, scale * 1e-4, scale * 0.02),
            "cosine": lambda: cosine_betas(steps),
        }
        if schedule not in makers:
            raise InputError(f"unknown noise schedule {schedule!r}: use one of {sorted(makers)}")
        return cls(makers[schedule](), {"name": schedule, "timesteps": steps})

    @classmethod
    def of_options(cls, schedule: str | None, steps: int | None) -> Self:
        """Return the schedule of that name and length, by default linear and of 1000 timesteps."""
        return cls.named(schedule or "linear", 1000 if steps is None else steps)

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> Self:
        """Return the schedule that a diffusers ``scheduler_config.json`` states.

        Parameters
        ----------
        config : mapping
            ``beta_schedule``, ``beta_start``, ``beta_end``, ``num_train_timesteps``, or
            ``trained_betas``, the variances themselves, which count where both are there.

        Raises
        ------
        InputError
            If it states none that is known here, for instance one of a variance-exploding process.
        """
        _refuse_other_processes(config)
        if config.get("trained_betas") is not None:
            betas = _trained_betas(config)
            return cls(betas, {"name": "trained", "timesteps": len(betas), "sha256": _hash(betas)})
        name, steps = config.get("beta_schedule"), config.get("num_train_timesteps")
        ends: list[Any] = [config.get("beta_start"), config.get("beta_end")]
        if name == "squaredcos_cap_v2" and steps is not None:
            return cls.named("cosine", _refuse_length(steps))
        ramps: dict[Any, Any] = {"linear": linear_betas, "scaled_linear": scaled_linear_betas}
        if not isinstance(name, str) or name not in ramps or steps is None or None in ends:
            raise InputError(
                f"the noise schedule {textwrap.shorten(repr(name), 100)} of scheduler "
                f"{config.get('_class_name', 'without a name')} is not known: expected "
                "beta_schedule linear, scaled_linear or squaredcos_cap_v2 with beta_start, "
                "beta_end and num_train_timesteps, or trained_betas"
            )
        start, end = ends
        if not all(isinstance(one, int | float) and 0 <= one <= 1 for one in ends):
            raise InputError(
                f"the scheduler's beta_start and beta_end are {textwrap.shorten(str(ends), 100)}: "
                "expected numbers from 0 to 1"
            )
        T = _refuse_length(steps)
        description = {"name": name, "timesteps": T, "start": float(start), "end": float(end)}
        return cls(ramps[name](T, float(start), float(end)), description)

    @property
    def timesteps(self) -> int:
        """T."""
        return len(self.betas)

    @property
    def alphas_cumprod(self) -> NDArray[np.float64]:
        """ᾱ, of shape (T,)."""
        return np.cumprod(1.0 - self.betas, dtype=np.float64)

    @property
    def sqrt_alphas_cumprod(self) -> NDArray[np.float64]:
        """sqrt(ᾱ), the weight of the image, of shape (T,)."""
        return np.sqrt(self.alphas_cumprod)

    @property
    def sqrt_one_minus_alphas_cumprod(self) -> NDArray[np.float64]:
        """sqrt(1 - ᾱ), the weight of the noise, of shape (T,)."""
        return np.sqrt(1.0 - self.alphas_cumprod)


def _refuse_length(steps: Any) -> int:
    """Return the timesteps of a process, if they are such."""
    if type(steps) is not int or not 1 <= steps <= MOST_TIMESTEPS:
        raise InputError(
            "a noise schedule needs at least 1 timestep, got "
            f"{textwrap.shorten(repr(steps), 100)}; {MOST_TIMESTEPS} is the most"
        )
    return steps


def _refuse_other_processes(config: Mapping[str, Any]) -> None:
    """Refuse what changes the noise in other ways than by the betas."""
    name = config.get("_class_name", "without a name")
    if config.get("rescale_betas_zero_snr"):
        raise InputError("the scheduler rescales its betas to zero SNR: not supported")
    if config.get("snr_shift_scale") not in (None, 1):
        raise InputError(
            f"the scheduler {name} shifts its signal-to-noise ratio (snr_shift_scale "
            f"{config['snr_shift_scale']}): not supported"
        )
    if config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction":
        raise InputError(
            f"the scheduler {name} is of a flow, from image to noise in a straight line: expected "
            "one of a diffusion process with betas"
        )


def _trained_betas(config: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the variances that a scheduler lists."""
    listed, steps = config["trained_betas"], config.get("num_train_timesteps")
    try:
        betas = np.asarray(listed, dtype=np.float64)
    except (TypeError, ValueError):
        betas = np.empty(0)
    # not `all(betas <= 1)` alone: NaN is not
    if betas.ndim != 1 or not betas.size or not ((betas >= 0) & (betas <= 1)).all():
        raise InputError(
            "trained_betas of the scheduler must be a list of numbers from 0 to 1, got "
            f"{textwrap.shorten(str(listed), 60)}"
        )
    _refuse_length(len(betas))
    if steps is not None and steps != len(betas):
        raise InputError(
            f"the scheduler has {len(betas)} trained_betas but num_train_timesteps {steps}: "
            "expected one for each timestep"
        )
    return betas


def _hash(betas: NDArray[np.float64]) -> str:
    """Return the sha256 of variances, as little-endian float64."""
    return hashlib.sha256(betas.astype("<f8").tobytes()).hexdigest()


def alphas_cumprod(schedule: str, steps: int) -> NDArray[np.float64]:
    """Return ᾱ of a named schedule, of shape (steps,); see `NoiseSchedule.named`.

    Examples
    --------
    >>> alphas_cumprod("linear", 1000)[[0, 999]].round(6)
    array([9.999e-01, 4.000e-05])
    """
    return NoiseSchedule.named(schedule, steps).alphas_cumprod


def shared_noise(
    seed: int, row_shape: tuple[int, int], channels: int = 3, draws: int = 1
) -> Tensor:
    """Return the one noise image ε that all images and timesteps share.

    Drawn on the CPU, so that it depends on the seed and the shape alone.

    Parameters
    ----------
    seed : int
    row_shape : tuple of int
        Height and width, pixels, or cells of latents.
    channels : int
        Of latents, where not colours.
    draws : int
        So many noise images, the first the same however many there are.

    Returns
    -------
    tensor of shape (draws, channels, H, W), float32
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    each = [torch.randn(1, channels, *row_shape, generator=generator) for _ in range(draws)]
    return torch.cat(each)


def q_sample(x: Tensor, steps: Sequence[int], noise: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return images noised to each of several timesteps.

    Parameters
    ----------
    x : tensor of shape (B, 3, H, W), float32, in [-1, 1]
    steps : sequence of int
        Timesteps, each in [0, T).
    noise : tensor of shape (1, 3, H, W), float32
    schedule : NoiseSchedule

    Returns
    -------
    tensor of shape (len(steps), B, 3, H, W), float32
        ``x_t``, one timestep after the other.
    """
    index = list(steps)
    signal, spread = (
        torch.from_numpy(table[index].astype(np.float32)).to(x.device).view(-1, 1, 1, 1, 1)
        for table in (schedule.sqrt_alphas_cumprod, schedule.sqrt_one_minus_alphas_cumprod)
    )
    return signal * x + spread * noise
