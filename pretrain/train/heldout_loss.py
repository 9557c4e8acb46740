"""The loss on images that are not trained on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .step import noise_loss

__all__ = ["HeldOut", "split"]

_SHARE, _MOST, _LEAST_IMAGES = 0.05, 64, 20
_NOISED = 64  # pairs of image and noise


def split(count: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the numbers of the images to train on, and of those held out.

    One in twenty is held out, 64 at most; of fewer than 20 images none, for each counts.

    Examples
    --------
    >>> train, held_out = split(100, seed=0)
    >>> len(train), len(held_out), len(split(10, seed=0)[1])
    (95, 5, 0)
    """
    n_out = min(_MOST, int(count * _SHARE)) if count >= _LEAST_IMAGES else 0
    out = set(np.random.default_rng((seed, 2)).permutation(count)[:n_out].tolist())
    return [i for i in range(count) if i not in out], sorted(out)


class HeldOut:
    """Held-out images with noise that is always the same, so that losses compare.

    Parameters
    ----------
    images : sequence of array of shape (3, H, W), float32, in [-1, 1]
    schedule : diffusers.DDPMScheduler
    seed : int
    """

    def __init__(self, images: Sequence[NDArray[np.float32]], schedule: Any, seed: int) -> None:
        x = torch.from_numpy(np.stack(images))
        self._x = x[torch.arange(_NOISED) % len(x)]
        generator = torch.Generator("cpu").manual_seed(seed)
        self._noise = torch.randn(self._x.shape, generator=generator)
        steps = schedule.config.num_train_timesteps
        even = (np.arange(_NOISED) + 0.5) / _NOISED * steps  # every level of noise alike
        shuffled = np.random.default_rng(seed).permutation(even.astype(np.int64))
        self._t, self._schedule = torch.from_numpy(shuffled), schedule

    @torch.no_grad()
    def loss(self, network: Any, batch_size: int) -> float:
        """Return the mean squared error of the predicted noise."""
        device, total = next(network.parameters()).device, 0.0
        for first in range(0, _NOISED, batch_size):
            part = slice(first, first + batch_size)
            x, t, noise = (whole[part].to(device) for whole in (self._x, self._t, self._noise))
            total += float(noise_loss(network, self._schedule, x, t, noise)) * len(x)
        return total / _NOISED
