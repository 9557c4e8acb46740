"""An image file, opened but not decoded: by Pillow, or as a raster where Pillow would not do."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ...store.bounded_reader import bounded
from ...store.urls.location import Location
from .formats import register_plugins, why_unknown
from .levels import is_deep, native_values, own_white
from .pillow_limit import pillow_limit
from .rasters.array import ArrayRaster, turned
from .rasters.planes import PlaneChoice
from .rasters.raster import Raster, reduced
from .rasters.tiff import TiffRaster, is_tiff
from .rasters.unsuitable import Unsuitable
from .reading_spec import MOST_PIXELS, MOST_WINDOWED, ReadingSpec
from .unreadable import UnreadableImage, decoding

__all__ = ["has_pages", "is_unscaled", "needs_white", "opened", "orientation_of"]

_BY_ROWS = 2**25
"""Pixels from which on a TIFF is read by rows if only parts of it are wanted."""
_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _EXTRA_SAMPLES = 258, 259, 262, 284, 338
_LOSSLESS = {1, 5, 8, 32773, 32946, 50000}
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_JPEG = b"\xff\xd8"


@contextmanager
def opened(
    path: Location, reading: ReadingSpec, *, in_parts: bool = False
) -> Iterator[Image.Image | Raster]:
    """Open an image file, by Pillow if that reads it as it should be read.

    Parameters
    ----------
    path : path
    reading : ReadingSpec
    in_parts : bool
        Whether parts of it are wanted: then a large TIFF is a raster, which gives the same numbers.

    Raises
    ------
    UnreadableImage
        If the file is damaged, no image, or too large; whatever is raised within while it is
        decoded becomes one, too.
    """
    name = path.name
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise UnreadableImage(f"'{name}' is no regular file: is it a pipe or a device?")
    try:
        with decoding(name), path.open("rb") as plain, pillow_limit(reading.most_pixels):
            file = bounded(plain)
            head = file.read(64)
            register_plugins(head)
            raster = _named_parts(path, reading) if is_tiff(head) else None
            if isinstance(raster, Raster):
                yield raster
                return
            try:
                image = _image(file, head, reading.most_pixels)
            except UnidentifiedImageError:
                if raster is not None:
                    raise raster from None
                if not is_tiff(head):
                    raise
                image = None
            with image or nullcontext():
                yield _as_it_is_read(path, image, reading, in_parts)
    except UnreadableImage as error:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError):
            gone = "is a broken link" if path.is_symlink() else "is not there any more"
            raise UnreadableImage(f"'{name}' {gone}: was it moved?") from cause
        if isinstance(cause, UnidentifiedImageError):
            raise UnreadableImage(f"'{name}' {why_unknown(path)}") from cause
        if isinstance(cause, _BOMBS):
            raise _too_large(name, str(cause), reading.most_pixels) from cause
        raise


def _image(file: object, head: bytes, most: int) -> Image.Image | None:
    """Open by Pillow; None of a TIFF above the limit, which may be read by rows."""
    try:
        return Image.open(file)  # type: ignore[arg-type]
    except _BOMBS:
        if is_tiff(head):
            return None
        if not head.startswith(_JPEG):
            raise
        with pillow_limit(MOST_WINDOWED):  # it may be decoded at a part of its size
            return Image.open(file)  # type: ignore[arg-type]


def _as_it_is_read(
    path: Location, image: Image.Image | None, reading: ReadingSpec, in_parts: bool
) -> Image.Image | Raster:
    if image is None or image.format == "TIFF":
        raster = _tiff_or_none(path, image, reading, in_parts)
        if raster is not None:
            return raster
    assert image is not None
    n_pixels, most = image.width * image.height, reading.most_pixels
    if n_pixels > (max(most, MOST_WINDOWED) if image.format == "JPEG" else most):
        raise _too_large(path.name, f"{image.width}×{image.height} pixels.", most)
    return image if reading.is_plain else _picture_raster(image, reading)


def _too_large(name: str, what: str, most: int) -> UnreadableImage:
    return UnreadableImage(
        f"'{name}' is larger than the limit against decompression bombs, {most} pixels: {what} "
        "If you trust it, raise that with --max-pixels, or cut it into smaller images."
    )


def _named_parts(path: Location, reading: ReadingSpec) -> Raster | Unsuitable | None:
    """Return a TIFF of which bands, plane or levels are named; or why it has to go by Pillow."""
    if reading.is_plain:
        return None
    try:
        return _tiff(path, reading)
    except Unsuitable as error:
        if reading.plane:
            raise
        return error


def _tiff(path: Location, reading: ReadingSpec) -> Raster:
    try:
        raster = TiffRaster(path, reading.plane, reading.most_pixels)
    except (Unsuitable, MemoryError):
        raise
    except Exception as error:
        raise UnreadableImage(f"'{path.name}' {why_unknown(path)}") from error
    (height, width), most = raster.size, max(MOST_WINDOWED, reading.most_pixels)
    if height * width > most:
        raise _too_large(path.name, f"{width}×{height} pixels.", most)
    if raster.orientation != 1:
        return _turned(path.name, raster, reading.most_pixels)
    return raster


def _tiff_or_none(
    path: Location, image: Image.Image | None, reading: ReadingSpec, in_parts: bool
) -> Raster | None:
    """Return a TIFF of which nothing is named as a raster; None if Pillow is to decode it."""
    if image is not None and not _goes_by_rows(image, reading, in_parts):
        return None
    try:
        return _tiff(path, reading)
    except Unsuitable:
        if image is not None and image.mode != "F":
            return None  # Pillow reads it, or says why not
        raise


def _goes_by_rows(image: Image.Image, reading: ReadingSpec, in_parts: bool) -> bool:
    """Whether a TIFF that Pillow opens is read by rows."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    photometric = tags.get(_PHOTOMETRIC)
    values = photometric in (0, 1, 2)  # not a palette, nor another colour space
    if not reading.is_plain:
        return False
    separate = tags.get(_PLANAR, 1) == 2 and max(tags.get(_BITS, (1,))) == 16
    if image.mode == "F" or (values and separate):
        return True
    same = photometric in (1, 2) and not tags.get(_EXTRA_SAMPLES)
    same = same and tags.get(_COMPRESSION, 1) in _LOSSLESS and image.mode in ("L", "RGB", "I;16")
    least = min(_BY_ROWS if in_parts else MOST_PIXELS, reading.most_pixels)
    return same and image.width * image.height > least


def _turned(name: str, raster: TiffRaster, most: int) -> Raster:
    """Return a raster that has to be turned: decoded whole."""
    height, width = raster.size
    if height * width > most:
        raise _too_large(name, f"{width}×{height} pixels, which have to be turned.", most)
    channels = range(raster.channels)
    values = np.concatenate([raster.rows(*part, channels) for part in raster.blocks()])
    return ArrayRaster(
        turned(values, raster.orientation), raster.white, raster.nodata, raster.pages
    )


def _picture_raster(image: Image.Image, reading: ReadingSpec) -> Raster:
    """Return what Pillow decodes as a raster: a frame of it, or a projection of its frames."""
    frames = int(getattr(image, "n_frames", 1)) if reading.plane else 1
    planes = reading.plane.of({"page": frames})
    orientation, white = orientation_of(image), own_white(image)

    def values() -> Iterator[np.ndarray]:
        for (number,) in planes.chosen:
            if frames > 1:
                image.seek(number)
            yield native_values(image)

    whole = reduced(values(), planes.projection)
    return ArrayRaster(turned(whole, orientation), white, pages=frames)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if there is none or Pillow applies it itself (TIFF)."""
    if image.format == "TIFF":
        return 1
    try:
        # PNG's own getexif decodes all pixels to look for a chunk after them; the base's does not.
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1  # broken metadata is no reason to refuse the pixels


def has_pages(path: Location, image: Image.Image) -> bool:
    """Whether a file that Pillow opened has further pages or frames; overviews do not count."""
    # an MPO's further pictures are thumbnails and maps of depth or gain, as phones write them
    paged = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    if not paged or image.format != "TIFF":
        return paged
    try:
        return TiffRaster(path, PlaneChoice(), MOST_WINDOWED).pages > 1
    except Exception:
        return True


def is_unscaled(image: Image.Image | Raster) -> bool:
    """Whether values are floating-point, of which nothing says which are black and white."""
    return image.dtype.kind not in "bui" if isinstance(image, Raster) else image.mode == "F"


def needs_white(image: Image.Image | Raster) -> bool:
    """Whether values are of 16 bits, and the file does not say which is white."""
    if isinstance(image, Raster):
        return image.dtype.kind in "iu" and image.dtype.itemsize > 1 and image.white is None
    return is_deep(image)
