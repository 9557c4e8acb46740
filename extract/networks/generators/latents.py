"""Latents and noise of a generator, each a function of a seed."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["latents_of", "shared_noise"]


def latents_of(seeds: Sequence[int], size: int = 512) -> Tensor:
    """Return the latents of some images, each drawn from its own seed.

    z ~ N(0, I), drawn on the CPU: the same on any device, and in any batch.

    Parameters
    ----------
    seeds : sequence of int
        Of each image.
    size : int
        Dimensions of a latent.

    Returns
    -------
    tensor of shape (B, size), float32

    Examples
    --------
    >>> together, alone = latents_of([3, 4], 8), latents_of([4], 8)
    >>> together.shape, torch.equal(together[1], alone[0])
    (torch.Size([2, 8]), True)
    """
    drawn = [torch.randn(size, generator=torch.Generator("cpu").manual_seed(s)) for s in seeds]
    return torch.stack(drawn) if drawn else torch.empty(0, size)


def shared_noise(sides: Sequence[int], seed: int) -> list[Tensor]:
    """Return the noise of a generator's layers, which all images share.

    Parameters
    ----------
    sides : sequence of int
        Of each layer's maps, in cells.
    seed : int

    Returns
    -------
    list of tensors of shape (1, 1, side, side), float32
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    return [torch.randn(1, 1, side, side, generator=generator) for side in sides]
