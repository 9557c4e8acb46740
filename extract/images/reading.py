"""Images decoded, and what their headers say: the only way by which dseg reads an image.

What comes out of `read_image` is RGB as published: ``PIL.Image.convert("RGB")``. So alpha is
dropped, CMYK and palettes are converted, of several frames the first counts. EXIF orientation is
applied. What Pillow leaves open is settled in `levels`: 16-bit values are scaled by their white.

What Pillow cannot read, or not as a `ReadingSpec` asks, goes by `rasters`: any number of channels,
planes, all kinds of values, and images that are too large to be decoded whole.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...store.urls.location import Location, at_hand, location
from .levels import FULL, WHITES, brightest_value, to_rgb
from .opened import has_pages, is_unscaled, needs_white, opened, orientation_of
from .pixels import ImagePixels, PicturePixels, RasterPixels
from .rasters.raster import Raster
from .reading_spec import ReadingSpec
from .scaling import chosen_channels, sampled_values
from .unreadable import UnreadableImage

__all__ = [
    "PLAIN",
    "ImageFacts",
    "UnreadableImage",
    "brightest_of",
    "held",
    "image_facts",
    "image_size",
    "open_pixels",
    "read_image",
    "sample_of",
    "sha256_of",
]

PLAIN = ReadingSpec()
"""How an image is read unless something else is said."""

# EXIF tag 274, as PIL.ImageOps.exif_transpose reads it
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDES_SWAPPED = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class ImageFacts:
    """What an image's header says of it.

    Parameters
    ----------
    size : tuple of int
        Height and width of what `read_image` returns.
    deep : bool
        Whether it has 16 bits a channel, and does not say which value is white.
    paged : bool
        Whether the file has further pages or frames, and nothing says which is read.
    unscaled : bool
        Whether its values are floating-point, which need levels.
    orientation : int
        By EXIF, 1 to 8: how the stored pixels are turned to be shown.
    """

    size: tuple[int, int]
    deep: bool
    paged: bool
    unscaled: bool = False
    orientation: int = 1


def image_facts(path: str | Location, reading: ReadingSpec = PLAIN) -> ImageFacts:
    """Return what an image's header says of it.

    Raises
    ------
    UnreadableImage
        If the file is no image, above the limit of pixels, or has not what is to be read.
    """
    place = location(path)
    with opened(place, reading) as image:
        if isinstance(image, Raster):
            chosen_channels(image, reading.bands)
            size, paged = image.size, image.pages > 1 and not (reading.plane or reading.bands)
            turn = 1
        else:
            size, paged, turn = _size(image), has_pages(place, image), orientation_of(image)
        return ImageFacts(size, needs_white(image), paged, is_unscaled(image), turn)


def _size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if orientation_of(image) in SIDES_SWAPPED else (height, width)


def image_size(path: str | Location, reading: ReadingSpec = PLAIN) -> tuple[int, int]:
    """Return height and width of an image as `read_image` gives it, see `image_facts`."""
    return image_facts(path, reading).size


def brightest_of(paths: Iterable[Location], reading: ReadingSpec = PLAIN) -> int:
    """Return the highest value of images of 16 bits a channel; no more are read than needed.

    One that uses all bits ends the search; of negative values it is more than any white. What
    cannot be read is left out.
    """
    highest = 0
    for path in paths:
        try:
            with opened(path, reading) as image:
                if isinstance(image, Raster):
                    highest = max(highest, _brightest(image, reading))
                else:
                    highest = max(highest, brightest_value(image))
        except UnreadableImage:
            continue
        if highest > WHITES[-2]:
            break
    return highest


def _brightest(raster: Raster, reading: ReadingSpec) -> int:
    channels, highest = chosen_channels(raster, reading.bands), 0
    for part in raster.blocks():
        values = raster.rows(*part, channels)
        if raster.nodata is not None:
            values = values[values != raster.nodata]
        if values.size and values.min() < 0:
            return FULL + 1
        highest = max(highest, int(values.max()) if values.size else 0)
    return highest


def sample_of(path: Location, reading: ReadingSpec) -> list[NDArray[Any]]:
    """Return values of the channels of an image that are read, of pixels evenly spread.

    Raises
    ------
    UnreadableImage
        If it cannot be read.
    """
    with opened(path, reading) as image:
        assert isinstance(image, Raster)  # of floating-point or named bands, never Pillow's
        return sampled_values(image, chosen_channels(image, reading.bands))


def open_pixels(
    path: str | Location,
    reading: ReadingSpec = PLAIN,
    least: tuple[int, int] | None = None,
) -> ImagePixels:
    """Return an image whose pixels are decoded by and by if its file allows it, else now.

    Parameters
    ----------
    path : path
    reading : ReadingSpec
    least : (height, width), optional
        The image is only to be resized to no more than this. Then a JPEG that is above the limit of
        pixels is decoded at a part of its size.

    Raises
    ------
    UnreadableImage
        If the file is damaged, no image, above the limit of pixels, or has not what is to be read;
        if values have no defined white, or are brighter than it. What is decoded later raises it
        then.
    """
    place = location(path)
    with opened(place, reading, in_parts=least is None) as image:
        if isinstance(image, Raster):
            return RasterPixels(image, reading, place.name)
        orientation, size = orientation_of(image), _size(image)
        if size[0] * size[1] > reading.most_pixels:
            _draft(image, least, place.name, reading.most_pixels)
        turn = TURNS.get(orientation)  # before decoding, which may apply and drop the tag
        rgb = to_rgb(image, reading.white)
        return PicturePixels(rgb if turn is None else rgb.transpose(turn), size)


def _draft(image: Image.Image, least: tuple[int, int] | None, name: str, most: int) -> None:
    """Have a JPEG decoded at the least part of its size that is twice what is needed."""
    if least is not None:
        image.draft("RGB", (2 * max(least), 2 * max(least)))
    if image.width * image.height > most:
        raise UnreadableImage(
            f"'{name}' is larger than the limit against decompression bombs, {most} pixels: "
            f"{image.width}×{image.height}. If you trust it, raise that with --max-pixels, or cut "
            "it into smaller images."
        )


def read_image(path: str | Location, reading: ReadingSpec = PLAIN) -> NDArray[np.uint8]:
    """Decode an image to RGB, turned as its EXIF orientation says.

    Parameters
    ----------
    path : path
    reading : ReadingSpec

    Returns
    -------
    array of shape (H, W, 3), uint8

    Raises
    ------
    UnreadableImage
        See `open_pixels`; also if it is above the limit of pixels and read by rows.
    """
    pixels = open_pixels(path, reading)
    height, width = pixels.size
    if height * width > reading.most_pixels:
        raise UnreadableImage(
            f"'{location(path).name}' is larger than the limit for images that are decoded whole, "
            f"{reading.most_pixels} pixels: {width}×{height}. Raise it with --max-pixels"
        )
    return pixels.array()


def held(path: Location) -> Location:
    """Return an image's file as it is, by URL with its bytes: so that it is read only once.

    Raises
    ------
    UnreadableImage
        If it cannot be read.
    """
    try:
        return at_hand(path)
    except FileNotFoundError as error:
        raise UnreadableImage(f"'{path.name}' is not there any more: was it moved?") from error
    except OSError as error:
        raise UnreadableImage(f"'{path.name}' cannot be read: {error.strerror}") from error


def sha256_of(path: str | Location) -> bytes:
    """Return the sha256 of a file's bytes, 32 bytes long.

    Raises
    ------
    UnreadableImage
        If the file cannot be read.
    """
    path = location(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UnreadableImage(f"'{path.name}' cannot be read: {error.strerror}") from error
