"""Linear dimensionality reduction of the channels of each map size, applied as features are read.

C channels of a map become k, ``z = Aᵀ x - b`` in each cell. The four interpolation weights of a
pixel sum to 1, so ``Aᵀ · upsample(x) - b = upsample(Aᵀ x - b)``: the reduction may be applied to
maps or to interpolated vectors. Stores keep all channels, and an ensemble that was trained on
reduced features is converted to take all of them (`classify.ensemble.reduction.expand`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..spec import FeatureSpec, LayerSpec

__all__ = ["Reduction", "reduced_spec"]

# Cells converted to float32 at a time: 24 MB for 6144 channels.
_BLOCK_CELLS = 1024


@dataclass(frozen=True)
class Reduction:
    """A linear map for each map size.

    Parameters
    ----------
    full : FeatureSpec
        The features as they are stored.
    matrices : mapping of tensors of shape (C, k), float32
        A of each map size; rows in the order of channels of the array ``features/<map size>``.
    shifts : mapping of tensors of shape (k,), float32
        b of each map size.
    """

    full: FeatureSpec
    matrices: Mapping[str, Tensor]
    shifts: Mapping[str, Tensor]

    @cached_property
    def spec(self) -> FeatureSpec:
        """The reduced features, see `reduced_spec`."""
        return reduced_spec(self.full, {size: m.shape[1] for size, m in self.matrices.items()})

    def vectors(self, size: str, part: NDArray[np.float16]) -> NDArray[np.float16]:
        """Reduce the channels of one map size at some pixels: (n, C) → (n, k)."""
        return self._apply(size, torch.from_numpy(part)).numpy()

    def maps(self, size: str, maps: NDArray[np.float16]) -> NDArray[np.float16]:
        """Reduce the maps of one size: (C, h, w) → (k, h, w)."""
        channels, height, width = maps.shape
        cells = torch.from_numpy(maps).reshape(channels, height * width).T
        return self._apply(size, cells).T.reshape(-1, height, width).numpy()

    def _apply(self, size: str, cells: Tensor) -> Tensor:
        """(n, C) → (n, k), float16, computed in float32 a block of cells at a time."""
        matrix, shift = self.matrices[size], self.shifts[size]
        reduced = torch.empty(len(cells), matrix.shape[1], dtype=torch.float16)
        for start in range(0, len(cells), _BLOCK_CELLS):
            block = slice(start, start + _BLOCK_CELLS)
            reduced[block] = torch.addmm(-shift, cells[block].float(), matrix)
        return reduced


def reduced_spec(full: FeatureSpec, channels: Mapping[str, int]) -> FeatureSpec:
    """Return the spec of reduced features: one layer for each map size, the smallest map first.

    Its layers are no blocks of a network: timestep and block are only numbers to tell them apart.

    Parameters
    ----------
    full : FeatureSpec
    channels : mapping of int
        Number of channels that remain, by map size.
    """
    layers = []
    for number, size in enumerate(full.map_sizes):
        _, height, width = full.map_shape(size)
        layers.append(LayerSpec(0, number, channels[size], height, width))
    return replace(full, layers=tuple(layers))
