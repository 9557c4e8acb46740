"""The layers of a feature vector that are no activations: classical filters, colour and position.

They are the same for every network, have the resolution of its input, and come after its layers.
"""

import torch
from torch import Tensor

from ...store.spec import Kind, LayerSpec
from .filters import FILTER_CHANNELS, filter_maps

__all__ = ["HandcraftedLayers"]


class HandcraftedLayers:
    """Computes the handcrafted layers of inputs of one shape.

    Parameters
    ----------
    row_shape : tuple of int
        Height and width.
    filters : bool
        Classical filters, see `filters`.
    pixels : bool
        Colour, in [-1, 1], and position, y and x from -1 to 1: five channels.
    device : torch.device
        Of the input.

    Attributes
    ----------
    layers : tuple of LayerSpec
        In feature order.
    """

    def __init__(
        self, row_shape: tuple[int, int], *, filters: bool, pixels: bool, device: torch.device
    ) -> None:
        self._filters, self._pixels = filters, pixels
        self._position = _position(row_shape).to(device)
        kinds: tuple[tuple[bool, Kind, int], ...] = (
            (filters, "filters", FILTER_CHANNELS),
            (pixels, "pixels", 3 + 2),
        )
        self.layers = tuple(
            LayerSpec.extra(kind, count, *row_shape) for wanted, kind, count in kinds if wanted
        )

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Return the layers (B, C, H, W) of inputs (B, 3, H, W) in [-1, 1], float32."""
        maps = [filter_maps(x)] if self._filters else []
        if self._pixels:
            maps.append(torch.cat([x, self._position.expand(len(x), -1, -1, -1)], dim=1))
        return maps


def _position(row_shape: tuple[int, int]) -> Tensor:
    """Return y and x of each pixel's middle, from -1 at one edge to 1 at the other.

    A tensor of shape (1, 2, H, W), float32.
    """
    y, x = ((torch.arange(side) + 0.5) * 2 / side - 1 for side in row_shape)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).unsqueeze(0)
