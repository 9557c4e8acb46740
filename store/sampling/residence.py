"""Which features stay in memory while an ensemble is trained, and how a batch is gathered.

There are N pixels of R rows with D channels each. A vector in memory takes V = 2 D + 128 bytes (its
float16 values, and its indices while it is read), the maps of a row take S bytes in float16, and B
bytes are free:

=========  =======================================  ======================================
residence  what is held                             chosen if
=========  =======================================  ======================================
vectors    all N gathered vectors, float16          N · V ≤ B, and N · V ≤ 2 R · S
maps32     the native maps, float32                 2 R · S ≤ B
maps       the native maps, float16                 R · S ≤ B
rounds     two pools of P = B / 2 V vectors         otherwise
=========  =======================================  ======================================

Gathering from vectors is fastest; from maps it costs a fraction of a training step, so vectors that
take more memory than the float32 maps are not worth it. Every variant sums in float32 and rounds to
float16 once, so the numbers that an ensemble is trained on do not depend on the memory.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..read.interpolation import mix
from ..spec import FeatureSpec
from .pixel_set import PixelSet

__all__ = ["MapTables", "ResidencePlan", "VectorTable", "minimum_memory", "plan_residence"]

# While its vector is read, a pixel has a number, row, line, column and sorted position, int64 each,
# and numpy makes temporary copies of them.
_BYTES_PER_POSITION = 128
# Pixels gathered at a time on a CPU, so that cells and sums stay in its cache (640 vectors of 8448
# channels from float16 maps: 3 times faster than all at once).
_BLOCK_PIXELS = 64

Residence = Literal["vectors", "maps32", "maps", "rounds"]


@dataclass(frozen=True)
class ResidencePlan:
    """Which features will be in memory, decided before any is read.

    Parameters
    ----------
    residence : {"vectors", "maps32", "maps", "rounds"}
    n_bytes : int
        Bytes that they take.
    pool : int
        For "rounds" P, the vectors of one pool, a multiple of the batch size; else N.
    """

    residence: Residence
    n_bytes: int
    pool: int


def plan_residence(
    spec: FeatureSpec, n_pixels: int, n_rows: int, free_bytes: int, batch_size: int
) -> ResidencePlan:
    """Choose what to keep in memory within ``free_bytes``; see the table in the module docstring.

    Raises
    ------
    InputError
        If not even two pools of one batch fit; the message names the least memory.
    """
    vector, maps = _vector_bytes(spec), n_rows * spec.bytes_per_row
    if n_pixels * vector <= min(free_bytes, 2 * maps):
        return ResidencePlan("vectors", n_pixels * vector, n_pixels)
    if 2 * maps <= free_bytes:
        return ResidencePlan("maps32", 2 * maps, n_pixels)
    if maps <= free_bytes:
        return ResidencePlan("maps", maps, n_pixels)
    pool = max(0, free_bytes) // (2 * vector) // batch_size * batch_size
    if pool == 0:
        least = minimum_memory(spec, n_pixels, n_rows, batch_size)
        raise InputError(
            f"{free_bytes} bytes are available for features, but at least {least} are "
            f"needed: for two pools of one batch each ({batch_size} vectors of {spec.dims} "
            "float16 values), or for all features. Give more memory"
        )
    return ResidencePlan("rounds", pool * 2 * vector, pool)


def minimum_memory(spec: FeatureSpec, n_pixels: int, n_rows: int, batch_size: int) -> int:
    """Return the fewest bytes for which `plan_residence` does not raise."""
    vector, maps = _vector_bytes(spec), n_rows * spec.bytes_per_row
    return min(n_pixels * vector, maps, 2 * batch_size * vector)


def _vector_bytes(spec: FeatureSpec) -> int:
    return 2 * spec.dims + _BYTES_PER_POSITION


class Table(Protocol):
    """Features in memory, from which batches are gathered."""

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
        return self.vectors.index_select(0, chosen).float()


class MapTables:
    """The native maps of all rows, pixel-major, from which vectors are gathered by four taps.

    Parameters
    ----------
    spec : FeatureSpec
    pixels : PixelSet
    dtype : torch.dtype
        float16, or float32 for twice the memory and somewhat faster gathering.
    device : torch.device
    """

    def __init__(
        self, spec: FeatureSpec, pixels: PixelSet, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._spec, self._pixels, self._device = spec, pixels, device
        self._shapes = {size: spec.map_shape(size) for size in spec.map_sizes}
        # Looked up once: `gather` runs for every batch, in many blocks.
        self._columns = {size: spec.columns_of(size) for size in spec.map_sizes}
        self._tables = {
            size: torch.empty(len(pixels.rows) * h * w, channels, dtype=dtype, device=device)
            for size, (channels, h, w) in self._shapes.items()
        }

    def put(self, position: int, size: str, array: NDArray[np.float16]) -> None:
        """Store the maps (C, h, w) of one row, given by its index into ``pixels.rows``."""
        cells = array.shape[1] * array.shape[2]
        # (C, h, w) -> (h·w, C): a pixel then reads four contiguous rows
        rows = torch.from_numpy(array).reshape(array.shape[0], cells).T
        self._tables[size][position * cells : (position + 1) * cells].copy_(rows)

    def gather(self, index: NDArray[np.integer[Any]]) -> Tensor:
        """Return the vectors of some pixels: (k,) → (k, D) float32, rounded to float16."""
        position, yx = self._pixels.locate(index)
        vectors = torch.empty(len(index), self._spec.dims, device=self._device)
        block_size = _BLOCK_PIXELS if self._device.type == "cpu" else max(1, len(index))
        for size, (_, height, width) in self._shapes.items():
            cell, weight = self._pixels.taps(position, yx, (height, width))
            cell = cell + (position * height * width)[:, None]
            cells = torch.from_numpy(cell).to(self._device)
            weights = torch.from_numpy(weight).to(self._device)
            for start in range(0, len(index), block_size):
                block = slice(start, start + block_size)
                mixed = self._mix(size, cells[block], weights[block])
                self._scatter(size, mixed.half(), vectors[block])
        return vectors

    def _mix(self, size: str, cell: Tensor, weight: Tensor) -> Tensor:
        """Return weighted sums of four cells for each pixel: (k, 4) -> (k, C), in float32."""
        table = self._tables[size]
        if table.dtype == torch.float16:  # convert the cells that are read, not the whole table
            table = table.index_select(0, cell.reshape(-1)).float()
            cell = torch.arange(len(table), device=self._device).view(-1, 4)
        return mix(table, cell, weight)

    def _scatter(self, size: str, mixed: Tensor, vectors: Tensor) -> None:
        """Copy the channels of one map size into the feature vectors."""
        for columns, channels in self._columns[size]:
            vectors[:, columns] = mixed[:, channels]
