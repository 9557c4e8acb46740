"""What networks without noise have in common: normalised colours, and blocks by their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...store.errors import InputError
from ...store.spec import LayerSpec
from ..checkpoints.transformers_folder import IMAGENET_MEAN, IMAGENET_STD
from .base import LoadedNetwork, NetworkBackbone
from .defaults import refuse_doubles
from .options import BackboneOptions

__all__ = ["CleanBackbone", "LoadedClean", "Shape", "choose_numbers", "refuse_noise"]

Shape = tuple[int, int, int]
"""Of a map: channels, height and width."""


@dataclass(frozen=True, kw_only=True)
class LoadedClean(LoadedNetwork):
    """A network without noise as loaded, with what is known of it.

    Parameters
    ----------
    mean, std : tuple of float
        Of colours in [0, 1], by which the input is normalised.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


class CleanBackbone(NetworkBackbone):
    """The maps of a network without noise.

    Parameters
    ----------
    loaded : LoadedClean
    options : BackboneOptions
    shapes : sequence of Shape
        Of all its blocks' maps.
    blocks : tuple of int
        Those that are recorded.
    row_shape : tuple of int
    inputs : bool
    """

    def __init__(
        self,
        loaded: LoadedClean,
        options: BackboneOptions,
        shapes: Sequence[Shape],
        blocks: tuple[int, ...],
        row_shape: tuple[int, int],
        inputs: bool = False,
    ) -> None:
        self.blocks = blocks
        layers = [LayerSpec.clean(number, *shapes[number]) for number in blocks]
        super().__init__(loaded, options, layers, row_shape, inputs)
        self._description["normalisation"] = {"mean": list(loaded.mean), "std": list(loaded.std)}
        self._mean, self._std = (
            torch.tensor(values, device=self.device).view(1, 3, 1, 1)
            for values in (loaded.mean, loaded.std)
        )

    def _normalised(self, x: Tensor) -> Tensor:
        """Return input (B, 3, H, W) in [-1, 1] as the network takes it."""
        return ((x + 1) / 2 - self._mean) / self._std


def refuse_noise(options: BackboneOptions) -> None:
    """Raise `UnsupportedOptionError` for options of noise."""
    of_noise = ("steps", "draws", "seed") if options.steps else ("draws", "seed")
    options.refuse(of_noise, "its network takes no noise")


def choose_numbers(blocks: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the requested ones of so many blocks, ascending.

    Raises
    ------
    InputError
        If there is none, the network lacks one, or one is given twice.
    """
    lacking = [block for block in blocks if not 0 <= block < count]
    if lacking or not blocks:
        given = f"the network has no blocks {lacking}" if lacking else "no blocks are given"
        raise InputError(f"{given}: it has 0 to {count - 1}")
    refuse_doubles("blocks", blocks)
    return tuple(sorted(blocks))
