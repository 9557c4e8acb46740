"""The pixels of a label file of any format: one number a pixel, or a colour."""

import textwrap
import zipfile
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...store.bounded_reader import bounded
from ...store.errors import InputError
from ...store.urls.errors import UrlError
from ...store.urls.location import Location, at_hand
from ...store.urls.walking import lower_suffix
from ..labels.label_maps import read_label_file
from .one_hot import flattened

__all__ = ["Pixels", "is_plain", "read_pixels"]

_FORMATS = ("PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG")
_HEAD = 4096
"""Bytes in which a WebP names its coding; "VP8 " is the lossy one."""

MOST_UNPACKED = 2**30
"""Bytes of an array in a .npz, which is compressed: 268 million 32-bit ids."""

_ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Pixels:
    """What a file holds.

    Parameters
    ----------
    values : array of shape (H, W), integer, or (H, W, 3), uint8
        Numbers, or red, green and blue.
    palette : bytes, optional
        Red, green and blue of each number, where the file has them.
    clear : array of shape (H, W), bool, optional
        Where the picture is transparent, or a one-hot array marks no class.
    lossy : bool
        Whether the file's format may have changed values.
    """

    values: NDArray[Any]
    palette: bytes | None = None
    clear: NDArray[np.bool_] | None = None
    lossy: bool = False

    @property
    def coloured(self) -> bool:
        """Whether pixels have colours, and not all of them are grey."""
        return self.values.ndim == 3


def is_plain(file: Location) -> bool:
    """Whether a file's header says that it holds one integer a pixel: a PNG or ``.npy``.

    Of a damaged file, too: `read_label_file` says what is wrong with it.
    """
    try:
        with file.open("rb") as opened:
            if lower_suffix(file) == ".npy":
                shape, kind = _header(opened)
                return len(shape) == 2 and kind in "buiO"
            head = opened.read(26)
    except UrlError:
        raise
    except Exception:  # whatever Python's parser makes of a damaged header
        return True
    is_png = head[:8] == b"\x89PNG\r\n\x1a\n"
    return lower_suffix(file) == ".png" and not (is_png and head[25:26] in b"\2\4\6")


def _header(opened: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape of a ``.npy``, and the kind of its numbers."""
    version = np.lib.format.read_magic(opened)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"of version {version}")
    shape, _, dtype = read(opened)
    return shape, dtype.kind


def read_pixels(file: Location, what: str) -> Pixels:
    """Read a label file of any format; grey pictures in three channels become numbers.

    Parameters
    ----------
    file : path
        A PNG, TIFF, BMP, GIF, WebP or JPEG of one page; a ``.npy``, or a ``.npz`` with one array,
        of shape (H, W), (H, W, 3) or one-hot, see `one_hot`.
    what : str
        What errors call it.

    Raises
    ------
    InputError
        If it is none of these, or damaged.
    """
    suffix, named = lower_suffix(file), f"{what} '{file}'"
    file = at_hand(file)
    if suffix in _ARRAYS:
        return _of_array(_loaded(file, suffix, named), named)
    try:
        with file.open("rb") as plain, Image.open(bounded(plain), formats=_FORMATS) as image:
            pages = getattr(image, "n_frames", 1)
            if pages > 1:
                raise InputError(
                    f"{named} has {pages} pages or frames: expected one. Save each as a file"
                )
            if image.format == "PNG" and image.mode in ("1", "L", "P", "I", "I;16"):
                return Pixels(*read_label_file(file, what))
            plain.seek(0)
            lossless = image.format != "JPEG" and b"VP8 " not in plain.read(_HEAD)
            return replace(_of_image(image, named), lossy=not lossless)
    except (InputError, UrlError):
        raise
    except Exception as error:  # whatever a decoder makes of damaged bytes
        raise InputError(f"{named} cannot be read: {_shortened(error)}") from error


def _of_image(image: Image.Image, what: str) -> Pixels:
    mode = image.mode
    if mode == "P" and image.format != "GIF":  # whose palette each program orders anew
        return Pixels(np.asarray(image), palette=bytes(image.getpalette("RGB") or ()))
    if mode in ("1", "L", "I", "F") or mode.startswith("I;16"):
        return Pixels(_whole(np.asarray(image), what))
    alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    colours = np.asarray(image.convert("RGBA" if alpha else "RGB"))
    clear = colours[..., 3] < 128 if alpha else None
    if clear is not None and not clear.any():
        clear = None
    return _grey_if_grey(Pixels(colours[..., :3], clear=clear))


def _grey_if_grey(pixels: Pixels) -> Pixels:
    """Return a picture whose channels are equal as one channel."""
    values = pixels.values
    seen = slice(None) if pixels.clear is None else ~pixels.clear
    first = values[..., 0]
    if all(np.array_equal(first[seen], values[..., k][seen]) for k in (1, 2)):
        return replace(pixels, values=np.ascontiguousarray(first))
    return pixels


def _of_array(array: NDArray[Any], what: str) -> Pixels:
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or array.dtype.kind not in "buif":
        raise InputError(
            f"{what} has the shape {array.shape} and contains {array.dtype}: expected one class id "
            "per pixel, (H, W), a colour per pixel, (H, W, 3), or one-hot classes, (H, W, C) or "
            "(C, H, W)"
        )
    if array.ndim == 2:
        return Pixels(_whole(array, what))
    ids, clear = flattened(array)
    if ids is not None:
        return Pixels(ids, clear=clear)
    if array.dtype == np.uint8 and array.shape[2] in (3, 4):
        transparent = array[..., 3] < 128 if array.shape[2] == 4 else None
        return _grey_if_grey(Pixels(array[..., :3], clear=transparent))
    raise InputError(
        f"{what} has the shape {array.shape}, but is neither one-hot (each pixel marks one class "
        "at most) nor a picture of 8-bit colours"
    )


def _whole(values: NDArray[Any], what: str) -> NDArray[np.integer[Any]]:
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype.kind in "ui":
        return values
    if not (np.abs(values) < 2**31).all() or (values != np.floor(values)).any():
        raise InputError(
            f"{what} contains {values.dtype} with fractions or NaN: expected whole numbers, one "
            "class id per pixel"
        )
    return values.astype(np.int32)


def _loaded(file: Location, suffix: str, what: str) -> NDArray[Any]:
    try:
        if suffix == ".npz":
            with file.open("rb") as opened:
                return _unpacked(opened)
        if isinstance(file, Path):  # mapped: no memory for what is not there
            return np.array(np.load(file, mmap_mode="r", allow_pickle=False))
        with file.open("rb") as opened:
            return np.asarray(np.load(opened, allow_pickle=False))
    except (InputError, UrlError):
        raise
    except Exception as error:  # whatever NumPy and Python's parser make of the header
        raise InputError(f"{what} cannot be read: {_shortened(error)}") from error


def _unpacked(opened: BinaryIO | Any) -> NDArray[Any]:
    with zipfile.ZipFile(opened) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(member.filename for member in members[:5])
            raise ValueError(f"it holds {len(members)} arrays ({names}): expected one")
        if members[0].file_size > MOST_UNPACKED:
            raise ValueError(f"its array takes more than {MOST_UNPACKED >> 20} MiB")
        data = BytesIO(archive.read(members[0]))
    shape, _ = _header(data)
    if np.prod(shape, dtype=float) > MOST_UNPACKED:
        raise ValueError(f"its array has the shape {shape}")
    data.seek(0)
    return np.asarray(np.load(data, allow_pickle=False))


def _shortened(error: Exception) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 200)
