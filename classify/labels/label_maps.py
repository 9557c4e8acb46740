"""Plain label maps: read, resized and cut as the images are.

A label map gives each pixel of an image a class id, or the ignore label; partly labelled images are
normal. In tiles the ignore label, whatever it was, is `IGNORED`.
"""

import struct
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...store.bounded_reader import bounded
from ...store.errors import InputError
from ...store.geometry import Geometry, resize_nearest
from ...store.urls.errors import UrlError
from ...store.urls.location import Location, at_hand, location

__all__ = [
    "IGNORED",
    "MINIMUM_PIXELS",
    "check_trainable",
    "label_tiles",
    "read_label_file",
    "read_label_map",
]

IGNORED = 65535
"""What `label_tiles` writes where a pixel has no class: no class id is as high."""

MINIMUM_PIXELS = 20
"""As published: a class of fewer pixels in a resized image is ignored in that image."""


def read_label_map(path: str | Location) -> NDArray[np.integer]:
    """Read one label map; as `read_label_file`, without the palette."""
    return read_label_file(path)[0]


def read_label_file(
    path: str | Location, what: str = "label map"
) -> tuple[NDArray[np.integer], bytes | None]:
    """Read one label map and its palette.

    Parameters
    ----------
    path : path
        A PNG with one channel of 1 to 16 bits, or with a palette (the index counts, not the
        colour); or a ``.npy`` with a 2-D array of integers.
    what : str
        What errors call it.

    Returns
    -------
    label : array of shape (H, W), of an integer dtype
    palette : bytes or None
        Red, green and blue of each index; None in a file without a palette.

    Raises
    ------
    InputError
        If it is neither, or damaged.
    """
    path = at_hand(location(path))
    what = f"{what} '{path}'"
    is_npy = path.suffix.lower() == ".npy"
    label, palette = (_read_npy(path, what), None) if is_npy else _read_png(path, what)
    if label.ndim != 2 or label.size == 0:
        raise InputError(
            f"{what} has the shape {label.shape}: expected (H, W), one class id per pixel"
        )
    if label.dtype == np.bool_:
        return label.astype(np.uint8), palette
    if not np.issubdtype(label.dtype, np.integer):
        raise InputError(
            f"{what} contains {label.dtype}: expected whole numbers, one class id per pixel"
        )
    return label, palette


def _read_npy(path: Location, what: str) -> NDArray[Any]:
    try:
        label = _loaded(path)
    except UrlError:
        raise
    except Exception as error:  # whatever NumPy and Python's parser make of the header
        words = textwrap.shorten(str(error) or type(error).__name__, 200)
        raise InputError(f"{what} cannot be read: {words}") from error
    if not isinstance(label, np.ndarray):
        raise InputError(f"{what} is not a .npy array")
    return label


def _loaded(path: Location) -> NDArray[Any]:
    if isinstance(path, Path):  # mapped: no memory for what is not there
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    with path.open("rb") as file:
        array: NDArray[Any] = np.load(file, allow_pickle=False)
    return array


def _read_png(path: Location, what: str) -> tuple[NDArray[Any], bytes | None]:
    try:
        with path.open("rb") as file, Image.open(bounded(file), formats=["PNG"]) as image:
            if image.mode not in ("1", "L", "P", "I", "I;16"):
                raise InputError(
                    f"{what} is a colour image ({image.mode}): expected one channel "
                    "with class ids. Save it as an index or palette PNG"
                )
            label: NDArray[Any] = np.asarray(image)
            palette = bytes(image.getpalette("RGB") or ()) if image.mode == "P" else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} cannot be read: {error}") from error
    if label.dtype == np.uint8:
        label = label // np.uint8(_stretch(path))
    return label, palette


def _stretch(path: Location) -> int:
    """By what Pillow multiplied the values: it stretches grey PNGs of 2 and 4 bits to 0–255."""
    with path.open("rb") as file:
        bits, colour_type = struct.unpack("BB", file.read(26)[24:26])  # in the header, IHDR
    return {2: 85, 4: 17}.get(bits, 1) if colour_type == 0 else 1


def label_tiles(
    label: NDArray[np.integer],
    geometry: Geometry,
    *,
    ignore: int = 255,
    minimum_pixels: int = MINIMUM_PIXELS,
) -> NDArray[np.uint16]:
    """Resize a label map and cut it into tiles, as published.

    Resized by the nearest rule of OpenCV; then every class but the ignored that has fewer than
    ``minimum_pixels`` pixels in the resized image becomes ignored; then cut into tiles.

    Parameters
    ----------
    label : array of shape (H, W), integer
        Of its image's size, with ids that may be classes: see `checks`.
    geometry : Geometry
        Of the label map's image.
    ignore : int
        The id of pixels without a class.
    minimum_pixels : int
        1 keeps every class, as evaluation wants it.

    Returns
    -------
    array of shape (tiles, height, width), uint16
        Class ids, `IGNORED` where there is none: ignored, deleted or padding.
    """
    seen = resize_nearest(label, geometry.resized)
    resized = seen.astype(np.uint16)
    resized[seen == ignore] = IGNORED
    counts = np.bincount(resized.ravel(), minlength=IGNORED + 1)
    small = counts < minimum_pixels  # by class id; never true of a class that has enough
    small[IGNORED] = False
    resized[small[resized]] = IGNORED
    return geometry.cut(resized, IGNORED).astype(np.uint16, copy=False)


def check_trainable(counts: Sequence[int] | NDArray[np.integer], names: Sequence[str]) -> None:
    """Refuse labels that nothing can be learned from.

    Parameters
    ----------
    counts : sequence of int
        Number of training pixels of each class.
    names : sequence of str
        The classes' names.

    Raises
    ------
    InputError
        If no pixel has a class, or all have the same.
    """
    present = [name for name, count in zip(names, counts, strict=True) if count]
    if not present:
        raise InputError(
            "no labelled pixel remains: all are ignored. Label some pixels, or check the ignore "
            "label"
        )
    if len(present) == 1:
        raise InputError(
            f"only one class is present, '{present[0]}': training needs at least two. Label "
            "pixels of another class too"
        )
