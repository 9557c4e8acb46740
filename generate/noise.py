"""The noise of each image, from a seed of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..store.errors import InputError

__all__ = ["MAX_SEED", "SeededNoise"]

MAX_SEED = 2**63 - 1


class SeededNoise:
    """The noise of some images: each has a generator of its own, on the CPU.

    So it depends on the image's seed and shape alone: not on the device, on which images are drawn
    together, or on how many. The first call gives x_T, the next ones z of each step that takes any.

    Parameters
    ----------
    seeds : sequence of int
        One an image, from 0 to 2**63 - 1.
    shape : tuple of int
        Channels, height and width.

    Raises
    ------
    InputError
        If a seed is out of range.
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, int, int]) -> None:
        outside = [seed for seed in seeds if not 0 <= seed <= MAX_SEED]
        if outside:
            raise InputError(f"seed {outside[0]} is out of range: give one from 0 to {MAX_SEED}")
        self._generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self._shape = shape

    def __call__(self) -> Tensor:
        """Return the next noise of each image: (B, C, H, W), float32, on the CPU."""
        return torch.stack([torch.randn(self._shape, generator=g) for g in self._generators])
