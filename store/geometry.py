"""How an image is resized and cut into tiles.

A tile is the input of one pass of the network; all tiles have one shape S, the ``row_shape`` of the
feature spec. A store keeps the activations of each tile as one row of its arrays, so its format and
its Python interface say *row*. An image of size (H, W) is first resized to ``resized`` and then cut
into tiles, each with its upper left corner at ``offset`` in the resized image:

======  =====================================  ==========================================
fit     resized                                tiles
======  =====================================  ==========================================
squash  S                                      one, at (0, 0)
pad     the largest of the image's aspect      one, at (0, 0); the rest of it is
        within S                               padding
tile    the image's own size, or enlarged      as many as cover it, at least ``overlap``
        until it is no smaller than S          pixels shared between neighbours
======  =====================================  ==========================================
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .spec import Fit

__all__ = ["Geometry", "blend_weight", "count_tiles", "plan_tiles", "resize_nearest"]

Size = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Where the tiles of one image lie.

    Parameters
    ----------
    size : tuple of int
        Height and width of the image.
    resized : tuple of int
        Height and width it is resized to before it is cut.
    offsets : tuple of (y, x)
        Upper left corner of each tile in the resized image.
    row_shape : tuple of int
        Height and width of a tile.
    """

    size: Size
    resized: Size
    offsets: tuple[Size, ...]
    row_shape: Size

    def content(self, tile: int) -> Size:
        """Return the height and width of that part of a tile that is image, not padding."""
        (y, x), (height, width) = self.offsets[tile], self.row_shape
        return min(height, self.resized[0] - y), min(width, self.resized[1] - x)

    def cut(self, resized_map: NDArray[np.generic], fill: int) -> NDArray[np.generic]:
        """Cut a map of the resized image into tiles; padding becomes ``fill``.

        Parameters
        ----------
        resized_map : array of shape resized
        fill : int

        Returns
        -------
        array of shape (tiles, height, width)
        """
        tiles = np.full((len(self.offsets), *self.row_shape), fill, dtype=resized_map.dtype)
        for tile, (y, x) in enumerate(self.offsets):
            height, width = self.content(tile)
            tiles[tile, :height, :width] = resized_map[y : y + height, x : x + width]
        return tiles


def plan_tiles(size: Size, row_shape: Size, fit: Fit, overlap: int = 0) -> Geometry:
    """Return how an image is resized and cut into tiles.

    Parameters
    ----------
    size, row_shape : tuple of int
        Height and width of the image and of a tile.
    fit : {"squash", "pad", "tile"}
    overlap : int
        For "tile": neighbours share at least this many pixels; less than a tile's side.

    Raises
    ------
    InputError
        If a side is not positive, or the overlap is not smaller than a tile.

    Examples
    --------
    >>> plan_tiles((300, 200), (64, 64), "squash").resized
    (64, 64)
    >>> plan_tiles((300, 200), (64, 64), "pad").resized
    (64, 43)
    >>> plan_tiles((100, 64), (64, 64), "tile", overlap=16).offsets
    ((0, 0), (36, 0))
    """
    _check(size, row_shape, fit, overlap)
    if fit == "squash":
        return Geometry(size, row_shape, ((0, 0),), row_shape)
    if fit == "pad":
        return Geometry(size, _within(size, row_shape), ((0, 0),), row_shape)
    resized = _covering(size, row_shape)
    starts = [
        _starts(length, tile, overlap) for length, tile in zip(resized, row_shape, strict=True)
    ]
    offsets = tuple((y, x) for y in starts[0] for x in starts[1])
    return Geometry(size, resized, offsets, row_shape)


def count_tiles(size: Size, row_shape: Size, fit: Fit, overlap: int = 0) -> int:
    """Return how many tiles `plan_tiles` gives, without making them: there may be billions.

    Raises
    ------
    InputError
        As `plan_tiles` does.

    Examples
    --------
    >>> count_tiles((2**31 - 1, 2**31 - 1), (64, 64), "tile")
    1125899906842624
    """
    _check(size, row_shape, fit, overlap)
    if fit in ("squash", "pad"):
        return 1
    height, width = (
        _count(length, tile, overlap)
        for length, tile in zip(_covering(size, row_shape), row_shape, strict=True)
    )
    return height * width


def _check(size: Size, row_shape: Size, fit: Fit, overlap: int) -> None:
    if min(*size, *row_shape) < 1:
        raise InputError(f"an image of {size} cannot be cut into rows of {row_shape}")
    if fit not in ("squash", "pad") and not 0 <= overlap < min(row_shape):
        raise InputError(
            f"tiles of {row_shape[0]}x{row_shape[1]} cannot overlap by {overlap} pixels: "
            f"give 0 to {min(row_shape) - 1}"
        )


def _within(size: Size, row_shape: Size) -> Size:
    scale = min(row_shape[0] / size[0], row_shape[1] / size[1])
    return _scaled(size, scale, at_most=row_shape)


def _scaled(size: Size, scale: float, at_most: Size) -> Size:
    height, width = (max(1, round(side * scale)) for side in size)
    return min(height, at_most[0]), min(width, at_most[1])


def _covering(size: Size, row_shape: Size) -> Size:
    scale = max(1.0, row_shape[0] / size[0], row_shape[1] / size[1])
    height, width = (round(side * scale) for side in size)
    return max(height, row_shape[0]), max(width, row_shape[1])


def _count(length: int, tile: int, overlap: int) -> int:
    return 1 + -(-(length - tile) // (tile - overlap))


def _starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Return the starts of the fewest tiles that cover ``length``, evenly spread."""
    count = _count(length, tile, overlap)
    return tuple(round(i * (length - tile) / max(1, count - 1)) for i in range(count))


def resize_nearest(label: NDArray[np.integer], size: Size) -> NDArray[np.integer]:
    """Return a label map at another height and width, by OpenCV's INTER_NEAREST.

    Cell i of a side takes cell ``floor(i * source / target)``, computed as OpenCV does, with the
    reciprocal in float64. The published code resizes label maps to the network's resolution so.

    Examples
    --------
    >>> resize_nearest(np.arange(5)[None], (1, 3))
    array([[0, 1, 3]])
    """
    y, x = (_nearest_index(*pair) for pair in zip(label.shape, size, strict=True))
    resized: NDArray[np.integer] = label[y[:, None], x]
    return resized


def _nearest_index(source: int, target: int) -> NDArray[np.int64]:
    # Not `source / target`: OpenCV divides twice, and another rounding moves cells at exact ratios.
    step = 1.0 / (target / source)
    index = np.floor(np.arange(target) * step).astype(np.int64)
    nearest: NDArray[np.int64] = np.minimum(index, source - 1)
    return nearest


def blend_weight(row_shape: Size) -> NDArray[np.float32]:
    """Return the weight of each pixel of a tile: its distance to the nearest edge, at least 1/2.

    Where tiles overlap, their scores are averaged with these weights: there is no visible seam, and
    the middle of a tile counts most, where the network sees the most context.

    Returns
    -------
    array of shape row_shape, float32, pixels

    Examples
    --------
    >>> blend_weight((3, 4))[1]
    array([0.5, 1.5, 1.5, 0.5], dtype=float32)
    """
    near = [np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) for n in row_shape]
    weight: NDArray[np.float32] = np.minimum(near[0][:, None], near[1][None, :]).astype(np.float32)
    return weight
