"""What of the features stays in memory while an ensemble is trained, and how a batch is drawn.

Let N pixels of R rows take part, each with a vector of D channels, and B bytes be free:

=========  =======================================  ======================================
residence  what is held                             chosen if
=========  =======================================  ======================================
vectors    all N gathered vectors, float16          N · 2 D ≤ B
maps32     the native maps, float32                 R · 2 · bytes of a row ≤ B
maps       the native maps, float16                 R · bytes of a row ≤ B
rounds     two pools of P = B / (4 D) vectors       otherwise
=========  =======================================  ======================================

In each, a gathered vector is rounded to float16 once: all train on the same numbers.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from .errors import InputError
from .pixels import taps
from .pixelset import PixelSet
from .spec import FeatureSpec

__all__ = ["MapTables", "ResidencePlan", "VectorTable", "plan_residence"]

Residence = Literal["vectors", "maps32", "maps", "rounds"]


@dataclass(frozen=True)
class ResidencePlan:
    """What will be held, decided before anything is read.

    Parameters
    ----------
    residence : {"vectors", "maps32", "maps", "rounds"}
    n_bytes : int
        What it will hold.
    pool : int
        For "rounds": P, the vectors of one pool, a multiple of the batch size; else N.
    """

    residence: Residence
    n_bytes: int
    pool: int


def plan_residence(
    spec: FeatureSpec, n_pixels: int, n_rows: int, free_bytes: int, batch_size: int
) -> ResidencePlan:
    """Choose what to hold within ``free_bytes``; see the module's table.

    Raises
    ------
    InputError
        If not even two pools of one batch fit; the message says how much is missing.
    """
    vector, maps = 2 * spec.dims, n_rows * spec.bytes_per_row
    if n_pixels * vector <= free_bytes:
        return ResidencePlan("vectors", n_pixels * vector, n_pixels)
    if 2 * maps <= free_bytes:
        return ResidencePlan("maps32", 2 * maps, n_pixels)
    if maps <= free_bytes:
        return ResidencePlan("maps", maps, n_pixels)
    pool = max(0, free_bytes) // (2 * vector) // batch_size * batch_size
    if pool == 0:
        missing = 2 * vector * batch_size - free_bytes
        raise InputError(
            f"{missing / 1e6:.1f} MB more memory is needed to hold two pools of one batch each "
            f"({batch_size} vectors of {spec.dims} float16 values): raise --memory"
        )
    return ResidencePlan("rounds", pool * 2 * vector, pool)


class Table(Protocol):
    """Held features, from which batches are gathered."""

    def gather(self, index: NDArray[np.integer[Any]]) -> Tensor:
        """Return the vectors of some pixels: (k,) → (k, D) float32, rounded to float16."""


class VectorTable:
    """All vectors, gathered beforehand.

    Parameters
    ----------
    vectors : float16 tensor of shape (N, D)
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def gather(self, index: NDArray[np.integer[Any]]) -> Tensor:
        """Return the vectors of some pixels: (k,) → (k, D) float32."""
        chosen = torch.from_numpy(np.ascontiguousarray(index)).to(self.vectors.device)
        return self.vectors[chosen].float()


class MapTables:
    """The native maps of all rows, pixel-major, from which vectors are gathered by four taps.

    Parameters
    ----------
    spec : FeatureSpec
    pixels : PixelSet
    dtype : torch.dtype
        float16, or float32 for twice the memory and faster gathering: in float16
        ``embedding_bag`` would also accumulate in float16 and err by 1e-3.
    device : torch.device
    """

    def __init__(
        self, spec: FeatureSpec, pixels: PixelSet, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._spec, self._pixels, self._device = spec, pixels, device
        self._shapes = {
            size: (layer.height, layer.width)
            for size in spec.map_sizes
            for layer in [spec.layers[spec.layers_of(size)[0]]]
        }
        self._tables = {
            size: torch.empty(
                len(pixels.rows) * h * w, self._channels(size), dtype=dtype, device=device
            )
            for size, (h, w) in self._shapes.items()
        }

    def _channels(self, size: str) -> int:
        return sum(self._spec.layers[i].channels for i in self._spec.layers_of(size))

    def put(self, position: int, size: str, array: NDArray[np.float16]) -> None:
        """Keep the maps (C, h, w) of the row at a position of ``pixels.rows``."""
        cells = array.shape[1] * array.shape[2]
        # (C, h, w) -> (h·w, C)
        rows = torch.from_numpy(array).reshape(array.shape[0], cells).T
        self._tables[size][position * cells : (position + 1) * cells].copy_(rows)

    def gather(self, index: NDArray[np.integer[Any]]) -> Tensor:
        """Return the vectors of some pixels: (k,) → (k, D) float32, rounded to float16."""
        position, yx = self._pixels.locate(index)
        vectors = torch.empty(len(index), self._spec.dims, device=self._device)
        for size, shape in self._shapes.items():
            cell, weight = taps(yx, self._spec.row_shape, shape)
            cell = cell + (position * shape[0] * shape[1])[:, None]
            mixed = self._mix(size, torch.from_numpy(cell), torch.from_numpy(weight))
            self._spread(size, mixed, vectors)
        return vectors.half().float()

    def _mix(self, size: str, cell: Tensor, weight: Tensor) -> Tensor:
        """Weigh four cells each: (k, 4) → (k, C) float32."""
        table = self._tables[size]
        cell, weight = cell.to(self._device), weight.to(self._device)
        if table.dtype == torch.float32:
            return embedding_bag(cell, table, per_sample_weights=weight, mode="sum")
        mixed = torch.zeros(len(cell), table.shape[1], device=self._device)
        for tap in range(4):
            mixed.addcmul_(table[cell[:, tap]].float(), weight[:, tap, None])
        return mixed

    def _spread(self, size: str, mixed: Tensor, vectors: Tensor) -> None:
        """Copy the channels of one map size to their places in the feature vector."""
        start, offsets = 0, self._spec.offsets
        for layer in self._spec.layers_of(size):
            channels = self._spec.layers[layer].channels
            target = vectors[:, offsets[layer] : offsets[layer] + channels]
            target.copy_(mixed[:, start : start + channels])
            start += channels
