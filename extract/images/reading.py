"""Images decoded, and what their headers say.

What comes out of `read_image` is RGB as published: ``PIL.Image.convert("RGB")``. So alpha is
dropped, CMYK and palettes are converted, of several frames the first counts. EXIF orientation is
applied. What Pillow leaves open is settled in `levels`: 16-bit values are scaled by their white;
floating-point or wider integer pixels are refused, for nothing says which value is white there.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ...store.errors import DsegError
from ...store.urls.location import Location, at_hand, location
from .formats import why_unknown
from .levels import FULL, WHITES, brightest_value, is_deep, to_rgb

__all__ = [
    "ImageFacts",
    "UnreadableImage",
    "brightest_of",
    "held",
    "image_facts",
    "image_size",
    "read_image",
    "sha256_of",
]

# Whatever a decoder raises on damaged bytes; a wrong file must not stop the others.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

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


class UnreadableImage(DsegError):  # noqa: N818  (a fact about one image, counted, not a crash)
    """One image cannot be used; its text says which and why."""


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
        Whether the file has further pages or frames.
    orientation : int
        By EXIF, 1 to 8: how the stored pixels are turned to be shown.
    """

    size: tuple[int, int]
    deep: bool
    paged: bool
    orientation: int = 1


def image_facts(path: str | Location) -> ImageFacts:
    """Return what an image's header says of it.

    Raises
    ------
    UnreadableImage
        If the file is no image, or larger than Pillow's pixel limit.
    """
    with _opened(location(path)) as image:
        width, height = image.size
        turn = _orientation(image)
        size = (width, height) if turn in SIDES_SWAPPED else (height, width)
        # an MPO's further pictures are thumbnails and maps of depth or gain, as phones write them
        paged = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        return ImageFacts(size, is_deep(image), paged, turn)


def image_size(path: str | Location) -> tuple[int, int]:
    """Return height and width of an image as `read_image` gives it, see `image_facts`."""
    return image_facts(path).size


def brightest_of(paths: Iterable[Location]) -> int:
    """Return the highest value of images of 16 bits a channel; no more are read than needed.

    One that uses all bits ends the search. What cannot be read is left out.
    """
    highest = 0
    for path in paths:
        try:
            with _opened(path) as image:
                highest = max(highest, brightest_value(image))
        except UnreadableImage:
            continue
        if highest > WHITES[-2]:
            break
    return highest


def read_image(path: str | Location, white: int = FULL) -> NDArray[np.uint8]:
    """Decode an image to RGB, turned as its EXIF orientation says.

    Parameters
    ----------
    path : path
    white : int
        The value of 16-bit channels that is white.

    Returns
    -------
    array of shape (H, W, 3), uint8

    Raises
    ------
    UnreadableImage
        If the file is damaged, no image, larger than Pillow's pixel limit, of a pixel type that
        has no defined white, or brighter than white.
    """
    with _opened(location(path)) as image:
        turn = TURNS.get(_orientation(image))  # before decoding, which may apply and drop the tag
        rgb = to_rgb(image, white)
        return np.array(rgb if turn is None else rgb.transpose(turn))


@contextmanager
def _opened(path: Location) -> Iterator[Image.Image]:
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise UnreadableImage(f"'{path.name}' is no regular file: is it a pipe or a device?")
    try:
        with path.open("rb") as file, Image.open(file) as image:
            yield image
    except FileNotFoundError as error:
        gone = "is a broken link" if path.is_symlink() else "is not there any more"
        raise UnreadableImage(f"'{path.name}' {gone}: was it moved?") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"'{path.name}' {why_unknown(path)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(
            f"'{path.name}' is larger than Pillow's limit against decompression bombs: {error} "
            "Cut it into smaller images."
        ) from error
    except DECODER_ERRORS as error:
        raise UnreadableImage(f"'{path.name}' cannot be decoded: {error}") from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if there is none or Pillow applies it itself (TIFF)."""
    if image.format == "TIFF":
        return 1
    try:
        # PNG's own getexif decodes all pixels to look for a chunk after them; the base's does not.
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except DECODER_ERRORS:
        return 1  # broken metadata is no reason to refuse the pixels


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
