"""Networks of which only the maps that they return are known: feature pyramids, one's own."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ....store.errors import InputError
from ..clean import CleanBackbone, LoadedClean, Shape, choose_numbers, refuse_noise
from ..defaults import choose_size
from ..devices import choose_device
from ..options import BackboneOptions
from ..precision import at_precision, halve_weights

__all__ = ["LoadedMaps", "MapsBackbone", "MapsModule", "last_of_each_size"]

_LAST = 4  # maps of a network whose maps are all of one size


class MapsModule(nn.Module):
    """A network that returns maps, numbered from 0."""

    def forward(self, x: Tensor, wanted: Sequence[int] | None) -> Sequence[Tensor]:
        """Return the wanted maps, ascending, or all, each (B, C, h, w), of (B, 3, H, W)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LoadedMaps(LoadedClean):
    """A network that returns maps as loaded, with what is known of it.

    Parameters
    ----------
    module : MapsModule
        Evaluation mode, CPU, float32.
    every : bool
        Whether all maps are recorded by default, not only the last of each size.
    """

    module: MapsModule
    every: bool = False

    def backbone(self, options: BackboneOptions) -> "MapsBackbone":
        """Return the backbone that records what the options say."""
        return MapsBackbone(self, options)


class MapsBackbone(CleanBackbone):
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
        refuse_noise(options)
        if options.inputs:
            options.refuse(("inputs",), "only what its network returns is known")
        row_shape = choose_size(options.size, loaded.card.size or loaded.size, 1)
        self._module = loaded.module.to(choose_device(options.device))
        shapes = _shapes(loaded, row_shape, choose_device(options.device))
        wanted = loaded.card.blocks if options.blocks is None else options.blocks
        if wanted is None:
            wanted = range(len(shapes)) if loaded.every else last_of_each_size(shapes)
        super().__init__(loaded, options, shapes, choose_numbers(wanted, len(shapes)), row_shape)
        halve_weights(self._module, options.precision)

    def _activations(self, x: Tensor) -> list[Tensor]:
        with at_precision(self._precision, self.device):
            found = self._module(self._normalised(x), self.blocks)
        return [activation.float() for activation in found]


@torch.inference_mode()
def _shapes(loaded: LoadedMaps, row_shape: tuple[int, int], device: torch.device) -> list[Shape]:
    """Return the shapes of all maps of a network, which is on a device."""
    height, width = row_shape
    blank = torch.zeros(1, 3, height, width, device=device)
    try:
        with at_precision("float32", device):
            maps = loaded.module(blank, None)
    except Exception as error:  # the network's own
        raise InputError(
            f"the network of '{loaded.source}' failed for an image of {height}x{width} pixels: "
            f"{type(error).__name__}: {textwrap.shorten(str(error), 200)}. If it cannot take this "
            "size, choose another --size"
        ) from error
    listed = maps if isinstance(maps, list | tuple) and maps else [maps]
    found = [tuple(one.shape) if isinstance(one, Tensor) else one for one in listed]
    if listed is not maps or any(not _is_map(shape) for shape in found):
        raise InputError(
            f"the network of '{loaded.source}' returned {textwrap.shorten(str(found), 200)} for "
            "one image: expected a list of maps of shape (1, channels, height, width)"
        )
    return [(shape[1], shape[2], shape[3]) for shape in found]


def _is_map(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) == 4 and shape[0] == 1


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
