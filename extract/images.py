"""Images on disk to network input: list, decode, resize, cut.

What comes out of `read_image` is RGB as published: ``PIL.Image.convert("RGB")``. So alpha is
dropped, CMYK and palettes are converted, of several frames the first counts. EXIF orientation is
applied. What Pillow leaves open is settled in `levels`: 16-bit values are scaled by their white;
floating-point or wider integer pixels are refused, for nothing says which value is white there.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ..store.errors import DsegError, InputError
from ..store.geometry import Geometry
from ..store.names import stem_of
from ..store.walking import describe_skipped, lower_suffix, walk
from .formats import why_unknown
from .levels import FULL, WHITES, brightest_value, is_deep, to_rgb

__all__ = [
    "EXTENSIONS",
    "PREPROCESSING",
    "ImageFacts",
    "ImageFiles",
    "ImageRows",
    "UnreadableImage",
    "brightest_of",
    "find_images",
    "image_facts",
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


@dataclass(frozen=True)
class ImageFiles:
    """The images that a command is given.

    Parameters
    ----------
    where : str
        The folder, or the only image, in quotes for a message.
    files : dict
        Path of each by its name: the path within the folder, with "/" and with extension.
    folders : tuple of Path
        Real folders that hold images: the one given, and those that links in it lead to; none where
        single images are given.
    passed : str
        In words, which files of the folder are not taken; empty if there are none worth a word.
    """

    where: str
    files: dict[str, Path]
    folders: tuple[Path, ...] = ()
    passed: str = ""

    @property
    def by_stem(self) -> dict[str, str]:
        """The name of each by its stem."""
        return {stem_of(name): name for name in self.files}


def list_images(folder: str | Path) -> list[Path]:
    """Return the images in a folder and its sub-folders, sorted by their relative paths.

    Hidden files and folders are left out, links to folders are followed, see `walking`.

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
    return list(find_images([folder]).files.values())


def find_images(sources: Sequence[Path]) -> ImageFiles:
    """Return the images of a folder, see `list_images`, or those that are given themselves.

    Raises
    ------
    InputError
        If there are none, two have one stem, or a file is no image by its ending.
    """
    if len(sources) == 1 and sources[0].is_dir():
        return _in_folder(sources[0])
    for path in sources:
        if path.is_dir():
            raise InputError(f"'{path}' is a folder: give one folder of images, or images alone")
        if lower_suffix(path) not in EXTENSIONS:
            raise InputError(
                f"'{path}' is no image by its ending: images end in {' '.join(sorted(EXTENSIONS))}"
            )
    _refuse_shared_stems((path.name, str(path)) for path in sources)
    where = f"'{sources[0]}'" if len(sources) == 1 else f"the {len(sources)} files given"
    return ImageFiles(where, {path.name: path for path in sources})


def _in_folder(folder: Path) -> ImageFiles:
    found = walk(folder)
    images = [path for path in found.files if lower_suffix(path) in EXTENSIONS]
    names = [path.relative_to(folder).as_posix() for path in images]
    passed = describe_skipped(found, EXTENSIONS)
    if not images:
        known = " ".join(sorted(EXTENSIONS))
        there = f"; passed over are {passed}" if passed else ""
        raise InputError(f"no image in '{folder}': looked for files ending in {known}{there}")
    _refuse_shared_stems((name, name) for name in names)
    folders = (folder.resolve(), *found.followed)
    return ImageFiles(f"'{folder}'", dict(zip(names, images, strict=True)), folders, passed)


def _refuse_shared_stems(names: Iterable[tuple[str, str]]) -> None:
    """Refuse images, by name and what to call them, that labels and masks cannot tell apart."""
    by_stem: dict[str, str] = {}
    for name, called in names:
        other = by_stem.setdefault(stem_of(name), called)
        if other != called:
            raise InputError(
                f"images '{other}' and '{called}' differ only in their extension, their folder or "
                "the Unicode form of their names, but labels and masks are matched by name without "
                "extension: rename or remove one"
            )


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
    """

    size: tuple[int, int]
    deep: bool
    paged: bool


def image_facts(path: str | Path) -> ImageFacts:
    """Return what an image's header says of it.

    Raises
    ------
    UnreadableImage
        If the file is no image, or larger than Pillow's pixel limit.
    """
    with _opened(Path(path)) as image:
        width, height = image.size
        size = (width, height) if _orientation(image) in SIDES_SWAPPED else (height, width)
        # an MPO's further pictures are thumbnails and maps of depth or gain, as phones write them
        paged = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        return ImageFacts(size, is_deep(image), paged)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image as `read_image` gives it, see `image_facts`."""
    return image_facts(path).size


def brightest_of(paths: Iterable[Path]) -> int:
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


def read_image(path: str | Path, white: int = FULL) -> NDArray[np.uint8]:
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
    with _opened(Path(path)) as image:
        turn = TURNS.get(_orientation(image))  # before decoding, which may apply and drop the tag
        rgb = to_rgb(image, white)
        return np.array(rgb if turn is None else rgb.transpose(turn))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    if path.exists() and not path.is_file():
        raise UnreadableImage(f"'{path.name}' is no regular file: is it a pipe or a device?")
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        gone = "is a link to what is not there" if path.is_symlink() else "is not there any more"
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
