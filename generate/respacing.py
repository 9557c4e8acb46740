"""Which timesteps a sampler takes, and the diffusion process of these alone.

A network that was trained on T timesteps can be sampled with fewer: of the kept ones
``t_0 < … < t_{S-1}``, the variances

    beta_i = 1 - ᾱ_{t_i} / ᾱ_{t_{i-1}}        (ᾱ = 1 before the first)

make a process of S steps whose noise levels are those of the kept timesteps (Nichol and Dhariwal,
ICML 2021, section 4). The network sees the original timestep of each.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..extract.networks.diffusion.noise import NoiseSchedule
from ..store.errors import InputError

__all__ = ["SamplingSchedule", "default_ddim_respacing", "kept_timesteps"]

_DDIM_STEPS = 50
_RESCALED_TO = 1000.0

Table = NDArray[np.float64]


def kept_timesteps(timesteps: int, respacing: str) -> tuple[int, ...]:
    """Return which timesteps a sampler takes, ascending, as guided-diffusion spells it.

    Parameters
    ----------
    timesteps : int
        T of the training's process.
    respacing : str
        "" for all of them; a number such as "250", of timesteps that are evenly spaced from the
        first to the last; numbers such as "10,20,30", of equal sections of the process; or
        "ddim50", evenly spaced by a whole number from 0, as of Song et al.

    Returns
    -------
    tuple of int

    Raises
    ------
    InputError
        If it is spelt otherwise, a section has fewer timesteps than it should keep, or no whole
        number spaces so many.

    References
    ----------
    guided-diffusion's ``space_timesteps``; Song et al., ICLR 2021, appendix D.2.

    Examples
    --------
    >>> kept_timesteps(1000, "4"), kept_timesteps(1000, "ddim4"), kept_timesteps(10, "2,3")
    ((0, 333, 666, 999), (0, 250, 500, 750), (0, 4, 5, 7, 9))
    """
    text = respacing.replace(" ", "")
    if not text:
        return tuple(range(timesteps))
    if re.fullmatch(r"ddim[0-9]{1,9}", text):
        return _strided(timesteps, int(text.removeprefix("ddim")))
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise InputError(
            f"'{respacing}' does not say which timesteps to take: give a number such as 250, "
            "numbers of equal sections such as 10,20,30, or ddim50"
        )
    kept = _of_sections(timesteps, [int(part) for part in text.split(",")])
    if not kept:
        raise InputError(f"'{respacing}' keeps no timestep: give a number from 1 to {timesteps}")
    return kept


def _strided(timesteps: int, count: int) -> tuple[int, ...]:
    for stride in range(1, timesteps):
        kept = range(0, timesteps, stride)
        if len(kept) == count:
            return tuple(kept)
    raise InputError(
        f"no whole number spaces {count} of {timesteps} timesteps (ddim{count}): give another "
        f"number, or {count} without 'ddim', which spaces them by fractions"
    )


def _of_sections(timesteps: int, counts: Sequence[int]) -> tuple[int, ...]:
    least, left_over = divmod(timesteps, len(counts))
    kept: list[int] = []
    start = 0
    for number, count in enumerate(counts):
        size = least + (number < left_over)
        if size < count:
            raise InputError(
                f"{count} timesteps cannot be taken of a section of {size}: the process has "
                f"{timesteps} timesteps, in {len(counts)} sections"
            )
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0
        for _ in range(count):
            kept.append(start + round(position))
            position += stride  # added up, not multiplied: rounding as published
        start += size
    return tuple(sorted(set(kept)))


def default_ddim_respacing(timesteps: int) -> str:
    """Return the respacing of DDIM by default: 50 steps, of a short process all.

    Examples
    --------
    >>> default_ddim_respacing(1000), default_ddim_respacing(123), default_ddim_respacing(20)
    ('ddim50', '50', '20')
    """
    if timesteps <= _DDIM_STEPS:
        return str(timesteps)
    strided = any(len(range(0, timesteps, s)) == _DDIM_STEPS for s in range(1, timesteps))
    return f"ddim{_DDIM_STEPS}" if strided else str(_DDIM_STEPS)


@dataclass(frozen=True)
class SamplingSchedule:
    """The diffusion process of the timesteps that a sampler takes.

    Not to be confused with the timesteps of features, which are of the whole process
    (`NoiseSchedule`) and reach the network as they are.

    Parameters
    ----------
    betas : array of shape (S,), float64
        Variances of the respaced process.
    timesteps : tuple of int
        S original timesteps, ascending: that of each step.
    total : int
        T of the training's process.
    rescale : bool
        Whether the network was trained to see timesteps times 1000 / T
        (guided-diffusion's ``rescale_timesteps``).
    """

    betas: Table
    timesteps: tuple[int, ...]
    total: int
    rescale: bool = False

    @classmethod
    def respaced(
        cls, schedule: NoiseSchedule, respacing: str = "", *, rescale: bool = False
    ) -> Self:
        """Return the process of some timesteps of a schedule, see `kept_timesteps`.

        Raises
        ------
        InputError
            If ``respacing`` does not fit, or a variance of the schedule is not between 0 and 1.
        """
        kept = kept_timesteps(schedule.timesteps, respacing)
        if not ((schedule.betas > 0) & (schedule.betas < 1)).all():
            raise InputError(
                f"the noise schedule has variances from {schedule.betas.min():.3g} to "
                f"{schedule.betas.max():.3g}: to draw images, each must be above 0 and below 1"
            )
        levels = schedule.alphas_cumprod[list(kept)]
        betas = 1.0 - levels / np.append(1.0, levels[:-1])
        return cls(betas, kept, schedule.timesteps, rescale)

    def __len__(self) -> int:
        return len(self.betas)

    def seen(self, step: int) -> float:
        """Return the timestep that the network sees at a step, 0 being the last one taken."""
        original = float(self.timesteps[step])
        return original * (_RESCALED_TO / self.total) if self.rescale else original

    @cached_property
    def alphas_cumprod(self) -> Table:
        """ᾱ of each step, of shape (S,)."""
        return np.cumprod(1.0 - self.betas, dtype=np.float64)

    @cached_property
    def alphas_cumprod_prev(self) -> Table:
        """ᾱ of the step that is taken after each, of shape (S,); 1 after the last."""
        return np.append(1.0, self.alphas_cumprod[:-1])

    @cached_property
    def posterior_variance(self) -> Table:
        """Variance of ``q(x_{t-1} | x_t, x_0)``, of shape (S,); 0 at the last step.

        Ho et al., NeurIPS 2020, eq. 7.
        """
        ratio = (1.0 - self.alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)
        return self.betas * ratio

    @cached_property
    def posterior_log_variance(self) -> Table:
        """Its logarithm, in whose first entry the second stands for minus infinity."""
        variance = self.posterior_variance.copy()
        variance[0] = variance[1] if len(self) > 1 else self.betas[0]
        return np.log(variance)

    @cached_property
    def posterior_mean_coefficients(self) -> tuple[Table, Table]:
        """Weights of x_0 and of x_t in the mean of ``q(x_{t-1} | x_t, x_0)``, each (S,).

        Ho et al., NeurIPS 2020, eq. 7.
        """
        rest = 1.0 - self.alphas_cumprod
        of_image = self.betas * np.sqrt(self.alphas_cumprod_prev) / rest
        of_noisy = (1.0 - self.alphas_cumprod_prev) * np.sqrt(1.0 - self.betas) / rest
        return of_image, of_noisy
