"""Images on disk to network input: list, decode, resize, cut.

What comes out of `read_image` is RGB as published: ``PIL.Image.convert("RGB")``. So alpha is
dropped, CMYK and palettes are converted, of several frames the first counts. EXIF orientation is
applied. Two things Pillow leaves open are settled here: 16-bit grey is divided by 257 and rounded
(so that white stays white), and floating-point or wider integer pixels are refused, for nothing
says which value is white.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ..store.errors import DsegError, InputError
from ..store.geometry import Geometry

__all__ = [
    "EXTENSIONS",
    "PREPROCESSING",
    "ImageRows",
    "UnreadableImage",
    "image_size",
    "list_images",
    "read_image",
    "sha256_of",
]

EXTENSIONS = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)

PREPROCESSING: dict[str, Any] = {
    "color": "RGB",
    "resize": "bilinear, antialiased, on 8-bit pixels",
    "range": [-1, 1],
    "padding": "mirrored, edge pixel repeated",
}

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


def list_images(folder: str | Path) -> list[Path]:
    """Return the images in a folder and its sub-folders, sorted by their relative paths.

    Hidden files and folders are left out, links to folders are not followed.

    Parameters
    ----------
    folder : path

    Returns
    -------
    list of Path
        Each begins with ``folder``.

    Raises
    ------
    InputError
        If it is no folder, holds no image, or two images have one stem (the relative path without
        extension), for labels and masks are matched by it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"images folder '{folder}' {what}: give a folder of images")
    found = sorted(_walk(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not found:
        known = " ".join(sorted(EXTENSIONS))
        raise InputError(f"no image in '{folder}': looked for files ending in {known}")
    _refuse_shared_stems(found, folder)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(parent) / name


def _refuse_shared_stems(images: list[Path], folder: Path) -> None:
    by_stem: dict[Path, Path] = {}
    for path in images:
        other = by_stem.setdefault(path.with_suffix(""), path)
        if other is not path:
            names = [f"'{one.relative_to(folder).as_posix()}'" for one in (other, path)]
            raise InputError(
                f"images {names[0]} and {names[1]} differ only in their extension, but labels and "
                "masks are matched by name without extension: rename or remove one"
            )


def image_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image as `read_image` gives it, from its header alone.

    Raises
    ------
    UnreadableImage
        If the file is no image, or larger than Pillow's pixel limit.
    """
    with _opened(Path(path)) as image:
        width, height = image.size
        return (width, height) if _orientation(image) in SIDES_SWAPPED else (height, width)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Decode an image to RGB, turned as its EXIF orientation says.

    Returns
    -------
    array of shape (H, W, 3), uint8

    Raises
    ------
    UnreadableImage
        If the file is damaged, no image, larger than Pillow's pixel limit, or of a pixel type
        that has no defined white.
    """
    with _opened(Path(path)) as image:
        turn = TURNS.get(_orientation(image))  # before decoding, which may apply and drop the tag
        rgb = _to_rgb(image)
        return np.array(rgb if turn is None else rgb.transpose(turn))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    if path.exists() and not path.is_file():
        raise UnreadableImage(f"'{path.name}' is no regular file: is it a pipe or a device?")
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise UnreadableImage(f"'{path.name}' is not there any more: was it moved?") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(
            f"'{path.name}' is not an image that can be decoded: is it damaged or misnamed?"
        ) from error
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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _grey_from_16_bit(image)
    if image.mode == "F":
        raise ValueError(
            "floating-point pixels have no defined white; convert it to 8 or 16 bits a channel"
        )
    # A palette with several transparent entries makes Pillow warn unless it goes through RGBA.
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _grey_from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError(
            f"grey values from {values.min()} to {values.max()} do not fit 16 bits; "
            "convert it to 8 or 16 bits a channel"
        )
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


class ImageRows:
    """The rows of an image as network input, each made when it is asked for.

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


def sha256_of(path: str | Path) -> bytes:
    """Return the sha256 of a file's bytes, 32 bytes long.

    Raises
    ------
    UnreadableImage
        If the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UnreadableImage(f"'{Path(path).name}' cannot be read: {error.strerror}") from error
