"""Images as a network takes them: resized, cut, scaled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...store.errors import InputError
from ...store.geometry import Geometry

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
    image in many tiles takes no more memory than the image itself.

    Parameters
    ----------
    image : array of shape (H, W, 3), uint8
        Of size ``geometry.size``.
    geometry : Geometry

    Raises
    ------
    InputError
        If the image is not of the size that the geometry is for.
    """

    def __init__(self, image: NDArray[np.uint8], geometry: Geometry) -> None:
        if image.shape[:2] != geometry.size:
            raise InputError(
                f"an image of {image.shape[0]}x{image.shape[1]} cannot be cut by a geometry for "
                f"{geometry.size[0]}x{geometry.size[1]}: was it changed meanwhile?"
            )
        height, width = geometry.resized
        if geometry.resized != geometry.size:
            resample = Image.Resampling.BILINEAR
            image = np.asarray(Image.fromarray(image).resize((width, height), resample))
        self._image, self._geometry = image, geometry

    def __len__(self) -> int:
        return len(self._geometry.offsets)

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """Return a row: (3, h, w), float32, in [-1, 1]."""
        (y, x), (height, width) = self._geometry.offsets[row], self._geometry.content(row)
        sides = zip(self._geometry.row_shape, (height, width), strict=True)
        beyond = [(0, side - has) for side, has in sides]
        content = self._image[y : y + height, x : x + width]
        pixels = np.pad(content, (*beyond, (0, 0)), mode="symmetric")
        scaled = 2 * (pixels.astype(np.float32) / np.float32(255)) - 1
        return np.ascontiguousarray(scaled.transpose(2, 0, 1))  # (h, w, 3) -> (3, h, w)
