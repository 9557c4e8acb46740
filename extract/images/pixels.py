"""The pixels of one image, 8 bits a channel: whole, in part, or resized, in little memory.

What is read by rows is resized by Pillow's filter, too: first along x, part by part, then along
y. Pillow itself takes the other order where that is faster, which may differ by one level of 255.
So an image that Pillow can decode whole is resized whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .rasters.raster import Raster
from .reading_spec import ReadingSpec
from .scaling import Scaling, chosen_channels
from .unreadable import UnreadableImage, decoding

__all__ = ["ArrayPixels", "ImagePixels", "PicturePixels", "RasterPixels", "resize"]

Size = tuple[int, int]
_ROWS = 1024


def resize(
    image: NDArray[np.uint8], size: Size, box: tuple[float, float, float, float] | None = None
) -> NDArray[np.uint8]:
    """Resize an image of any number of channels by Pillow's bilinear filter, antialiased.

    Parameters
    ----------
    image : array of shape (H, W, C), uint8
    size : tuple of int
        Height and width.
    box : (left, top, right, bottom), optional
        The part of the image that is resized, in pixels.
    """
    if image.shape[:2] == size and box is None:
        return image
    filtered, sides = Image.Resampling.BILINEAR, (size[1], size[0])
    if image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize(sides, filtered, box))
    bands = (np.ascontiguousarray(image[..., k]) for k in range(image.shape[2]))
    return np.stack(
        [np.asarray(Image.fromarray(b).resize(sides, filtered, box)) for b in bands], axis=2
    )


class ImagePixels(ABC):
    """An image that is read when its pixels are asked for.

    Parameters
    ----------
    size : tuple of int
        Height and width.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._last: tuple[Size, NDArray[np.uint8]] | None = None
        self._prepared: dict[Size, NDArray[np.uint8]] = {}

    @abstractmethod
    def _read(self, first: int, last: int) -> NDArray[np.uint8]:
        """Return some rows, decoded now."""

    def parts(self) -> Iterator[Size]:
        """Yield first and last row of parts that cover the image."""
        for first in range(0, self.size[0], _ROWS):
            yield first, min(self.size[0], first + _ROWS)

    def rows(self, first: int, last: int) -> NDArray[np.uint8]:
        """Return rows ``first`` to ``last - 1``: (rows, W, C), uint8.

        Those asked for last are kept, for tiles beside each other share them.

        Raises
        ------
        UnreadableImage
            If they are damaged.
        """
        if self._last is None or self._last[0] != (first, last):
            self._last = None  # not two at a time
            self._last = (first, last), self._read(first, last)
        return self._last[1]

    def array(self) -> NDArray[np.uint8]:
        """Return the whole image, (H, W, C)."""
        parts = [self._read(*part) for part in self.parts()]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def prepare(self, sizes: Iterable[Size]) -> None:
        """Make `resized` ready for several sizes, so that the image is decoded once."""
        wanted = [size for size in dict.fromkeys(sizes) if size != self.size]
        narrow: dict[int, list[NDArray[np.uint8]]] = {width: [] for _, width in wanted}
        for part in self.parts() if wanted else ():
            rows = self._read(*part)
            for width, strips in narrow.items():
                strips.append(resize(rows, (len(rows), width)))
        joined = {width: np.concatenate(strips) for width, strips in narrow.items()}
        self._prepared = {size: resize(joined[size[1]], size) for size in wanted}

    def resized(self, size: Size) -> NDArray[np.uint8]:
        """Return the image at another size, as `resize` makes it; the whole is never held."""
        if size == self.size:
            return self.array()
        if size not in self._prepared:
            self.prepare([size])
        return self._prepared[size]


class ArrayPixels(ImagePixels):
    """An image in memory.

    Parameters
    ----------
    image : array of shape (H, W, C), uint8
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        super().__init__((image.shape[0], image.shape[1]))
        self._image = image

    def _read(self, first: int, last: int) -> NDArray[np.uint8]:
        return self._image[first:last]

    def array(self) -> NDArray[np.uint8]:
        """Return the image."""
        return self._image

    def prepare(self, sizes: Iterable[Size]) -> None:
        """Do it at once."""
        self._prepared = {size: resize(self._image, size) for size in sizes}


class PicturePixels(ImagePixels):
    """An image that Pillow has decoded, and that is not copied.

    Parameters
    ----------
    picture : PIL.Image.Image
        RGB.
    size : tuple of int, optional
        Of the image where the picture is smaller: a JPEG decoded at a part of its size.
    """

    def __init__(self, picture: Image.Image, size: Size | None = None) -> None:
        super().__init__(size or (picture.height, picture.width))
        self._picture = picture

    def _read(self, first: int, last: int) -> NDArray[np.uint8]:
        picture = self._picture
        if self.size != (picture.height, picture.width):
            raise UnreadableImage("a JPEG above the limit of pixels can only be squashed")
        if (first, last) == (0, picture.height):
            return np.array(picture)
        return np.array(picture.crop((0, first, picture.width, last)))

    def array(self) -> NDArray[np.uint8]:
        """Return the image."""
        return self._read(0, self.size[0])

    def prepare(self, sizes: Iterable[Size]) -> None:
        """Do it at once."""
        filtered = Image.Resampling.BILINEAR
        self._prepared = {
            size: np.array(self._picture.resize((size[1], size[0]), filtered)) for size in sizes
        }


class RasterPixels(ImagePixels):
    """An image that is read by rows.

    Parameters
    ----------
    raster : Raster
    reading : ReadingSpec
    name : str
        The file's, for messages.

    Raises
    ------
    Unsuitable
        If it cannot be read so.
    """

    def __init__(self, raster: Raster, reading: ReadingSpec, name: str) -> None:
        super().__init__(raster.size)
        self._raster, self._name = raster, name
        self._channels = chosen_channels(raster, reading.bands)
        self._scaling = Scaling(raster, reading, self._channels)

    def parts(self) -> Iterator[Size]:
        """Yield first and last row of parts that cover the image."""
        return self._raster.blocks()

    def _read(self, first: int, last: int) -> NDArray[np.uint8]:
        with decoding(self._name):
            scaled = self._scaling(self._raster.rows(first, last, self._channels))
        return np.repeat(scaled, 3, axis=2) if scaled.shape[2] == 1 else scaled
