"""Which pixels of a label map are trained on: those of a grid over its rows of features.

Features are interpolated, so a labelled pixel needs no cell of the network's input: it is read at
its own position in the image. The published code instead resizes label maps to the network's input,
where thin strokes and small objects of a large image vanish. Here the grid is a multiple of the
input's, fine enough that every pixel of the label map has a cell. An image has at most as many
training pixels as the network's input has: a large image does not outweigh a small one.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ...store.geometry import Geometry
from .label_maps import IGNORED, MINIMUM_PIXELS, label_tiles

__all__ = ["LabelGrid"]

_MOST_CELLS = 2**25
"""Of a grid: 64 MB as class ids. Coarser than an image of more pixels."""

_LEAST_PIXELS = 100
"""Of a class in an image that are trained on, where the image has so many."""


@dataclass(frozen=True)
class LabelGrid:
    """A grid over the rows of an image.

    Parameters
    ----------
    factor : int
        Cells along the side of each pixel of the network's input; a power of two, so that images
        of many sizes have few grids.
    minimum_pixels : int
        A class with fewer cells in an image is not trained on there.
    """

    factor: int = 1
    minimum_pixels: int = 1

    @classmethod
    def published(cls) -> Self:
        """Return the grid of the published code: the network's input."""
        return cls(1, MINIMUM_PIXELS)

    @classmethod
    def of(cls, geometry: Geometry) -> Self:
        """Return a grid on which each pixel of an image has a cell, if it is not too large.

        Examples
        --------
        >>> from dseg.store.geometry import plan_tiles
        >>> LabelGrid.of(plan_tiles((300, 200), (64, 64), "squash")).factor
        8
        >>> LabelGrid.of(plan_tiles((300, 200), (64, 64), "tile", 16)).factor
        1
        """
        factor, cells = 1, math.prod(geometry.row_shape)
        sides = list(zip(geometry.size, geometry.resized, strict=True))
        while (
            any(own > factor * seen for own, seen in sides) and 4 * factor**2 * cells <= _MOST_CELLS
        ):
            factor *= 2
        return cls(factor)

    def shape(self, row_shape: tuple[int, int]) -> tuple[int, int]:
        """Return its height and width over a row."""
        return row_shape[0] * self.factor, row_shape[1] * self.factor

    def geometry(self, geometry: Geometry) -> Geometry:
        """Return where an image's tiles lie, in cells."""
        return replace(
            geometry,
            resized=self.shape(geometry.resized),
            offsets=tuple(map(self.shape, geometry.offsets)),
            row_shape=self.shape(geometry.row_shape),
        )

    def cells(
        self, label: NDArray[np.integer[Any]], geometry: Geometry, ignore: int, name: str
    ) -> list[tuple[NDArray[np.int64], NDArray[np.uint16]]]:
        """Return the cells to train on, of each tile of an image.

        If a finer grid has more labelled cells than the tile has pixels, as many are drawn; of each
        class at least 100, or all.

        Parameters
        ----------
        label : array of shape (H, W), integer
            Of the image's size.
        geometry : Geometry
            Of the image.
        ignore : int
            The id of pixels without a class.
        name : str
            Of the image: seed of what is drawn.

        Returns
        -------
        list of (places, y)
            ``y * width + x`` of each cell, ascending, and its class id.
        """
        tiles = label_tiles(
            label, self.geometry(geometry), ignore=ignore, minimum_pixels=self.minimum_pixels
        )
        found = []
        for number, tile in enumerate(tiles.reshape(len(tiles), -1)):
            places = np.flatnonzero(tile != IGNORED)
            y = tile[places]
            if len(places) > math.prod(geometry.row_shape):
                seed = [crc32(name.encode()), number]
                drawn = _drawn(y, math.prod(geometry.row_shape), np.random.default_rng(seed))
                places, y = places[drawn], y[drawn]
            found.append((places, y))
        return found


def _drawn(y: NDArray[np.uint16], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw about ``count`` pixels, ascending: more of classes that would have too few."""
    order = rng.permutation(len(y))
    drawn, rest = order[:count], order[count:]
    enough = np.bincount(y[drawn], minlength=int(y.max()) + 1)
    more = [
        rest[y[rest] == k][: _LEAST_PIXELS - enough[k]]
        for k in np.unique(y)
        if enough[k] < _LEAST_PIXELS
    ]
    return np.sort(np.concatenate([drawn, *more]))
