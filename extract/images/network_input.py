"""Images as a network takes them: resized, cut, scaled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from ...store.geometry import Geometry
from .pixels import ArrayPixels, ImagePixels

__all__ = ["PREPROCESSING", "ImageRows"]

PREPROCESSING: dict[str, Any] = {
    "color": "RGB",
    "resize": "bilinear, antialiased, on 8-bit pixels",
    "range": [-1, 1],
    "padding": "mirrored, edge pixel repeated",
}


class ImageRows:
    """An image as network input, one array a tile (row), each made when it is read.

    Resizing is Pillow's bilinear filter with antialiasing on 8-bit pixels, as published; an image
    that has the size already is not touched. What lies beyond the image in a row is padding: the
    image mirrored at its edge, edge pixels repeated. Held are the 8-bit pixels, so that a large
    image in many tiles takes no more memory than the image itself; of one that is read by rows, no
    more than those of a tile.

    Parameters
    ----------
    image : array of shape (H, W, C), uint8, or ImagePixels
        Of size ``geometry.size``.
    geometry : Geometry

    Raises
    ------
    InputError
        If the image is not of the size that the geometry is for.
    """

    def __init__(self, image: NDArray[np.uint8] | ImagePixels, geometry: Geometry) -> None:
        pixels = image if isinstance(image, ImagePixels) else ArrayPixels(image)
        if pixels.size != geometry.size:
            raise InputError(
                f"an image of {pixels.size[0]}x{pixels.size[1]} cannot be cut by a geometry for "
                f"{geometry.size[0]}x{geometry.size[1]}: was it changed meanwhile?"
            )
        if geometry.resized != geometry.size:
            pixels = ArrayPixels(pixels.resized(geometry.resized))
        self._pixels, self._geometry = pixels, geometry

    def __len__(self) -> int:
        return len(self._geometry.offsets)

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """Return a row: (C, h, w), float32, in [-1, 1].

        Raises
        ------
        UnreadableImage
            If the image is read by rows, and these are damaged.
        """
        (y, x), (height, width) = self._geometry.offsets[row], self._geometry.content(row)
        sides = zip(self._geometry.row_shape, (height, width), strict=True)
        beyond = [(0, side - has) for side, has in sides]
        content = self._pixels.rows(y, y + height)[:, x : x + width]
        pixels = np.pad(content, (*beyond, (0, 0)), mode="symmetric")
        scaled = 2 * (pixels.astype(np.float32) / np.float32(255)) - 1
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))  # (h, w, C) -> (C, h, w)
