"""Some of a backbone's layers."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.spec import LayerSpec
from .images.reading_spec import ReadingSpec
from .protocol import Backbone

__all__ = ["LayerSubset"]


class LayerSubset:
    """A backbone that returns only some of its layers.

    Parameters
    ----------
    backbone : Backbone
    layers : sequence of LayerSpec
        Of the backbone's, in its order.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[LayerSpec]) -> None:
        self._backbone, self.layers = backbone, tuple(layers)
        self._indices = [backbone.layers.index(layer) for layer in layers]

    @property
    def row_shape(self) -> tuple[int, int]:
        """Height and width of the input it takes."""
        return self._backbone.row_shape

    @property
    def reading(self) -> ReadingSpec | None:
        """How the images were read that it was trained on."""
        return self._backbone.reading

    @property
    def source(self) -> str:
        """Where its checkpoint came from."""
        return self._backbone.source

    @property
    def weights(self) -> str | None:
        """Which of several sets of weights these are, in words."""
        return self._backbone.weights

    @property
    def seed(self) -> int:
        """Seed of the noise."""
        return self._backbone.seed

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._backbone.device

    def describe(self) -> dict[str, Any]:
        """Return what of it changes its activations, in plain JSON values."""
        return self._backbone.describe()

    def __call__(self, rows: Tensor | NDArray[Any]) -> list[Tensor]:
        """Return the activations (B, C, h, w), float32, of inputs (B, 3, H, W) in [-1, 1]."""
        maps = self._backbone(rows)
        return [maps[index] for index in self._indices]
