"""Bilinear interpolation of single pixels from maps of lower resolution.

Bilinear interpolation at a pixel is a weighted sum of four cells, its *taps*, of the native map.
Reading a pixel by its taps equals upsampling the whole map first and then reading the pixel.

The taps are those of ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``
without antialiasing, as the published ``collect_features`` uses it (Baranchuk et al., ICLR 2022):
pixel i of n along a side of m cells reads at ``max(0, (i + 1/2) · m / n - 1/2)``, computed in
float32; beyond the centre of the last cell it reads that cell.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..spec import FeatureSpec

__all__ = ["feature_vectors", "gather", "mix", "rectangle", "taps"]

Taps = tuple[NDArray[np.int64], NDArray[np.float32]]


def taps(yx: NDArray[np.integer], grid: tuple[int, int], map_shape: tuple[int, int]) -> Taps:
    """Return the four cells that each pixel reads in a map, and their weights.

    Parameters
    ----------
    yx : integer array of shape (n, 2)
        Row and column of each pixel on the grid.
    grid, map_shape : tuple of int
        Height and width of the grid, the row's or a finer one, and of the map.

    Returns
    -------
    index : int64 array of shape (n, 4)
        Cells of the flattened map, ``y * w + x``; the upper two first.
    weight : float32 array of shape (n, 4)
        Their weights; each row of the array sums to 1.

    Raises
    ------
    InputError
        If ``yx`` has another shape, or a pixel lies outside the row.

    Examples
    --------
    >>> index, weight = taps(np.array([[0, 1]]), (4, 4), (2, 2))
    >>> index, weight
    (array([[0, 1, 2, 3]]), array([[0.75, 0.25, 0.  , 0.  ]], dtype=float32))
    """
    yx = np.asarray(yx)
    if yx.ndim != 2 or yx.shape[1] != 2 or yx.dtype.kind not in "iu":
        raise InputError(
            f"pixels must be an integer array of shape (n, 2), rows and columns; got "
            f"{yx.dtype} of shape {yx.shape}"
        )
    if yx.size and (yx.min() < 0 or (yx >= grid).any()):
        wrong = yx[((yx < 0) | (yx >= grid)).any(axis=1)][0]
        raise InputError(
            f"pixel ({wrong[0]}, {wrong[1]}) lies outside a grid of {grid[0]}x{grid[1]}"
        )
    y0, y1, down = _axis(grid[0], map_shape[0])
    x0, x1, right = _axis(grid[1], map_shape[1])
    y, x = yx[:, 0], yx[:, 1]
    top, bottom = y0[y] * map_shape[1], y1[y] * map_shape[1]
    index = np.stack([top + x0[x], top + x1[x], bottom + x0[x], bottom + x1[x]], axis=1)
    dy, dx = down[y], right[x]
    one = np.float32(1)
    weight = np.stack([(one - dy) * (one - dx), (one - dy) * dx, dy * (one - dx), dy * dx], axis=1)
    return index, weight


def _axis(n: int, cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return, for each of n pixels of an axis, its two cells and the weight of the second."""
    scale = np.float64(np.float32(cells) / np.float32(n))
    # One rounding for product and difference together, as torch's fused multiply-add has it: with
    # two, a weight is off by up to 1e-6.
    position = (scale * (np.arange(n) + 0.5) - 0.5).astype(np.float32).clip(min=0)
    first = np.minimum(position.astype(np.int64), cells - 1)
    second = np.minimum(first + 1, cells - 1)
    return first, second, np.clip(position - first.astype(np.float32), 0, 1).astype(np.float32)


def mix(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Return weighted sums of the rows of a table, on the table's device.

    Parameters
    ----------
    table : tensor of shape (cells, K), float32
        Not float16: the sums would be accumulated in float16, too, with errors of 1e-3.
    index : integer tensor of shape (n, taps)
    weight : tensor of shape (n, taps), float32

    Returns
    -------
    tensor of shape (n, K), float32
    """
    if table.device.type == "mps":  # has no embedding_bag before PyTorch 2.10
        return _mix_tap_by_tap(table, index, weight)
    return torch.nn.functional.embedding_bag(index, table, per_sample_weights=weight, mode="sum")


def _mix_tap_by_tap(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    mixed = torch.zeros(len(index), table.shape[1], device=table.device)
    for tap in range(index.shape[1]):
        mixed.addcmul_(table[index[:, tap]], weight[:, tap, None])
    return mixed


def gather(
    activation: NDArray[np.floating], index: NDArray[np.int64], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the interpolated values of pixels in one map, by their `taps`.

    Parameters
    ----------
    activation : floating array of shape (C, h, w)
    index : int64 array of shape (n, 4)
    weight : float32 array of shape (n, 4)

    Returns
    -------
    float32 array of shape (n, C)
        Summed in float32, whatever the dtype of the map.
    """
    flat = activation.reshape(activation.shape[0], -1)  # (C, h, w) -> (C, h·w)
    is_read = np.zeros(flat.shape[1], dtype=bool)
    is_read[index] = True
    cells = np.flatnonzero(is_read)
    # Few pixels read few cells of a large map: transpose only those.
    if len(cells) < flat.shape[1]:
        position = np.zeros(flat.shape[1], dtype=np.int64)
        position[cells] = np.arange(len(cells))
        flat, index = flat[:, cells], position[index]
    table = _pixel_major(flat)
    cell_index = torch.from_numpy(np.ascontiguousarray(index))
    weights = torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32))
    return np.asarray(mix(table, cell_index, weights).numpy())


def feature_vectors(
    spec: FeatureSpec,
    maps: Callable[[str], NDArray[np.floating]],
    yx: NDArray[np.integer],
) -> NDArray[np.float32]:
    """Return the feature vectors of pixels of one row of a store.

    Parameters
    ----------
    spec : FeatureSpec
    maps : function of a map size
        Returns the row's maps of that size, (C, h, w), channels of ``spec.layers_of(map_size)``
        side by side; called once for each size.
    yx : integer array of shape (n, 2)
        On the row grid.

    Returns
    -------
    float32 array of shape (n, D)
        In feature order.
    """
    vectors = np.empty((len(yx), spec.dims), dtype=np.float32)
    for size in spec.map_sizes:
        activation = maps(size)
        height, width = activation.shape[1:]
        read = gather(activation, *taps(yx, spec.row_shape, (height, width)))
        for columns, channels in spec.columns_of(size):
            vectors[:, columns] = read[:, channels]
    return vectors


def rectangle(y: range, x: range) -> NDArray[np.int64]:
    """Return the pixels of a rectangle, line by line: an int64 array (len(y) · len(x), 2).

    Examples
    --------
    >>> rectangle(range(1), range(2, 4)).tolist()
    [[0, 2], [0, 3]]
    """
    grid = np.meshgrid(np.asarray(y, np.int64), np.asarray(x, np.int64), indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 2)


def _pixel_major(flat: NDArray[np.floating]) -> Tensor:
    """(C, cells) in any float -> (cells, C) in float32: a cell's channels become neighbours."""
    source = flat if flat.flags.writeable else flat.copy()  # torch warns of read-only memory
    return torch.from_numpy(source).t().contiguous().float()
