"""Several backbones, their features concatenated."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..store.read.joined_spec import joined_order
from .images.reading_spec import ReadingSpec
from .protocol import Backbone

__all__ = ["ConcatenatedBackbone"]


class ConcatenatedBackbone:
    """Runs several networks over the same images, each on input of its own shape.

    Parameters
    ----------
    backbones : sequence of Backbone
    """

    def __init__(self, backbones: Sequence[Backbone]) -> None:
        self.backbones = tuple(backbones)
        self._order = joined_order(backbones)
        self.layers = tuple(backbones[n].layers[at] for n, at in self._order)
        self.row_shape, self.seed = backbones[0].row_shape, backbones[0].seed
        self.source = " + ".join(backbone.source for backbone in backbones)

    @property
    def reading(self) -> ReadingSpec | None:
        """How the images were read that they were trained on, if those agree that say so."""
        said = {one.reading for one in self.backbones if one.reading is not None}
        return said.pop() if len(said) == 1 else None

    @property
    def weights(self) -> str | None:
        """Which of several sets of weights each has, in words."""
        words = [backbone.weights for backbone in self.backbones if backbone.weights]
        return "; ".join(words) or None

    @property
    def device(self) -> torch.device:
        """Where the first runs."""
        return self.backbones[0].device

    def describe(self) -> dict[str, Any]:
        """Return what of each changes its activations, by number."""
        return {str(n): backbone.describe() for n, backbone in enumerate(self.backbones)}

    def __call__(self, *rows: Any) -> list[Tensor]:
        """Return the activations (B, C, h, w), float32.

        Parameters
        ----------
        *rows : tensors or arrays of shape (B, 3, H, W), float32, in [-1, 1]
            The same images as each backbone in turn sees them; or one for all.
        """
        each = rows if len(rows) > 1 else rows * len(self.backbones)
        maps = [backbone(seen) for backbone, seen in zip(self.backbones, each, strict=True)]
        return [maps[number][at] for number, at in self._order]
