"""Networks of which only the maps that they return are known: feature pyramids, one's own."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ...store.errors import InputError
from ...store.spec import LayerSpec
from ..checkpoints.transformers_folder import IMAGENET_MEAN, IMAGENET_STD
from .base import LoadedNetwork, NetworkBackbone
from .defaults import choose_size, refuse_doubles
from .options import BackboneOptions
from .precision import at_precision, halve_weights

__all__ = ["LoadedMaps", "MapsBackbone", "MapsModule", "last_of_each_size"]

Shape = tuple[int, int, int]
_LAST = 4  # maps of a network whose maps are all of one size


class MapsModule(nn.Module):
    """A network that returns maps, numbered from 0."""

    def forward(self, x: Tensor, wanted: Sequence[int] | None) -> Sequence[Tensor]:
        """Return the wanted maps, ascending, or all, each (B, C, h, w), of (B, 3, H, W)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LoadedMaps(LoadedNetwork):
    """A network that returns maps as loaded, with what is known of it.

    Parameters
    ----------
    module : MapsModule
        Evaluation mode, CPU, float32.
    every : bool
        Whether all maps are recorded by default, not only the last of each size.
    mean, std : tuple of float
        Of colours in [0, 1], by which the input is normalised.
    """

    module: MapsModule
    every: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def backbone(self, options: BackboneOptions) -> "MapsBackbone":
        """Return the backbone that records what the options say."""
        return MapsBackbone(self, options)


class MapsBackbone(NetworkBackbone):
    """The maps of a network, whose shapes one pass over a blank image shows.

    Parameters
    ----------
    loaded : LoadedMaps
        Its network is taken over and moved; do not use it elsewhere.
    options : BackboneOptions

    Raises
    ------
    InputError
        See `LoadedNetwork.backbone`; or if the network fails, or returns something else than maps.
    """

    def __init__(self, loaded: LoadedMaps, options: BackboneOptions) -> None:
        of_noise = ("steps", "draws", "seed") if options.steps else ("draws", "seed")
        options.refuse(of_noise, "its network takes no noise")
        if options.inputs:
            options.refuse(("inputs",), "only what its network returns is known")
        row_shape = choose_size(options.size, loaded.card.size or loaded.size, 1)
        super().__init__(loaded, options, (), row_shape, inputs=False)
        self._module = loaded.module.to(self.device)
        self._mean, self._std = (
            torch.tensor(values, device=self.device).view(1, 3, 1, 1)
            for values in (loaded.mean, loaded.std)
        )
        shapes = self._shapes(loaded.source)
        wanted = loaded.card.blocks if options.blocks is None else options.blocks
        if wanted is None:
            wanted = range(len(shapes)) if loaded.every else last_of_each_size(shapes)
        _refuse_blocks(wanted, shapes)
        self.blocks = tuple(sorted(wanted))
        halve_weights(self._module, options.precision)
        own = (LayerSpec.clean(number, *shapes[number]) for number in self.blocks)
        self.layers = (*own, *self.layers)
        self._description["normalisation"] = {"mean": list(loaded.mean), "std": list(loaded.std)}

    @torch.inference_mode()
    def _shapes(self, source: str) -> list[Shape]:
        height, width = self.row_shape
        blank = torch.zeros(1, 3, height, width, device=self.device)
        try:
            with at_precision("float32", self.device):
                maps = self._module(blank, None)
        except Exception as error:  # the network's own
            raise InputError(
                f"the network of '{source}' failed for an image of {height}x{width} pixels: "
                f"{type(error).__name__}: {textwrap.shorten(str(error), 200)}. If it cannot take "
                "this size, choose another --size"
            ) from error
        listed = maps if isinstance(maps, list | tuple) else [maps]
        found = [tuple(one.shape) if isinstance(one, Tensor) else one for one in listed]
        if (
            listed is not maps
            or not found
            or any(
                not isinstance(shape, tuple) or len(shape) != 4 or shape[0] != 1 for shape in found
            )
        ):
            raise InputError(
                f"the network of '{source}' returned {textwrap.shorten(str(found), 200)} for one "
                "image: expected a list of maps of shape (1, channels, height, width)"
            )
        return [(shape[1], shape[2], shape[3]) for shape in found]

    def _activations(self, x: Tensor) -> list[Tensor]:
        normalised = ((x + 1) / 2 - self._mean) / self._std
        with at_precision(self._precision, self.device):
            found = self._module(normalised, self.blocks)
        return [activation.float() for activation in found]


def last_of_each_size(shapes: Sequence[Shape]) -> tuple[int, ...]:
    """Return the last map of each run of equal size; the last four where all are of one size.

    Examples
    --------
    >>> last_of_each_size([(8, 4, 4), (8, 4, 4), (16, 2, 2), (32, 1, 1)])
    (1, 2, 3)
    >>> last_of_each_size([(8, 4, 4)] * 6)
    (2, 3, 4, 5)
    """
    ends = [n for n, (one, other) in enumerate(pairwise(shapes)) if one[1:] != other[1:]]
    last = len(shapes) - 1
    return (*ends, last) if ends else tuple(range(max(0, last + 1 - _LAST), last + 1))


def _refuse_blocks(blocks: Sequence[int], shapes: Sequence[Shape]) -> None:
    lacking = [block for block in blocks if not 0 <= block < len(shapes)]
    if lacking or not blocks:
        given = f"the network has no blocks {lacking}" if lacking else "no blocks are given"
        has = ", ".join(f"{n} ({c} channels, {h}x{w})" for n, (c, h, w) in enumerate(shapes))
        raise InputError(f"{given}: it has {has}")
    refuse_doubles("blocks", blocks)
