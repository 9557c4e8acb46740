"""The files that a prediction is written to.

==============  ==========================================================================
mask            PNG of class ids: with a palette, or 16-bit grey where an id is above 255
overlay         RGB PNG: the image half covered by the classes' colours
probabilities   ``.npy``, float16 (C, H, W)
uncertainty     ``.npy``, float32 (H, W), nats
==============  ==========================================================================

Each is written under a temporary name in its folder and then renamed, so a file with its final name
is complete.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...store.bounded_reader import bounded
from ...store.errors import InputError
from ...store.whole_file import write_whole

__all__ = [
    "encode_mask",
    "read_mask",
    "write_array",
    "write_mask",
    "write_overlay",
]

Colours = Sequence[tuple[int, int, int]]


def write_mask(
    path: Path | str,
    mask: NDArray[np.unsignedinteger],
    colours: Colours,
    *,
    under: Path | None = None,
) -> None:
    """Write a mask as an index PNG; `read_mask` is the inverse.

    Parameters
    ----------
    path : path
        Its folder is made if need be.
    mask : array of shape (H, W), uint8 or uint16
        Class ids. In uint8 it is written with a palette, in uint16 as 16-bit grey.
    colours : sequence of (red, green, blue)
        The colour of each class id.
    under : path, optional
        A temporary name in the same folder: the file keeps it, and the caller renames the file.

    Raises
    ------
    InputError
        If the mask is of another form, or an id has no colour.
    DsegError
        If the file cannot be written.
    """
    encoded = encode_mask(mask, colours)
    write_whole(path, encoded, under=under)


def encode_mask(mask: NDArray[np.unsignedinteger], colours: Colours) -> bytes:
    """Return the bytes of the PNG that `write_mask` writes.

    Raises
    ------
    InputError
        As `write_mask` does.
    """
    _check_mask(mask, colours)
    image = Image.fromarray(np.ascontiguousarray(mask))
    if mask.dtype == np.uint8:
        # All 256 entries, else Pillow packs indices in as few bits as there are colours.
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(colours)] = np.asarray(colours, np.uint8)[:256]
        image.putpalette(palette.tobytes())
    file = BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def read_mask(path: Path | str) -> NDArray[np.unsignedinteger]:
    """Read a mask that `write_mask` wrote.

    Returns
    -------
    array of shape (H, W), uint8 or uint16

    Raises
    ------
    InputError
        If the file cannot be read as a PNG of class ids.
    """
    try:
        with Path(path).open("rb") as file, Image.open(bounded(file)) as image:
            mode, mask = image.mode, np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"'{path}' cannot be read as a mask: {error}") from error
    if mode not in ("P", "L") and not mode.startswith("I"):
        raise InputError(
            f"'{path}' is a {mode} image: a mask is a PNG of class ids, with a palette or grey"
        )
    return mask.astype(np.uint8 if mode in ("P", "L") else np.uint16)


def write_overlay(
    path: Path | str,
    image: NDArray[np.uint8],
    mask: NDArray[np.unsignedinteger],
    colours: Colours,
    *,
    under: Path | None = None,
) -> None:
    """Write the image with each pixel halfway to its class's colour, as RGB PNG.

    Parameters
    ----------
    path : path
        Its folder is made if need be.
    image : array of shape (H, W, 3), uint8
    mask : array of shape (H, W), uint8 or uint16
    colours : sequence of (red, green, blue)
        Dark ones would only darken the image: see `overlay_colours`.
    under : path, optional
        As of `write_mask`.

    Raises
    ------
    InputError
        If image and mask differ in size, the mask is of another form, or an id has no colour.
    DsegError
        If the file cannot be written.
    """
    _check_mask(mask, colours)
    if image.dtype != np.uint8 or image.shape != (*mask.shape, 3):
        raise InputError(
            f"an overlay takes an RGB image of the mask's size, uint8 {(*mask.shape, 3)}; "
            f"got {image.dtype} {image.shape}"
        )
    table = np.asarray(colours, np.uint8)
    mixed = (image // 2) + (table // 2)[mask]  # at most 254: no overflow
    picture = Image.fromarray(mixed)
    write_whole(path, lambda file: picture.save(file, format="PNG"), under=under)


def write_array(
    path: Path | str, values: NDArray[np.floating], *, under: Path | None = None
) -> None:
    """Write probabilities or uncertainty as ``.npy``; ``under`` as of `write_mask`.

    Raises
    ------
    DsegError
        If the file cannot be written.
    """
    write_whole(path, lambda file: np.save(file, values, allow_pickle=False), under=under)


def _check_mask(mask: NDArray[np.unsignedinteger], colours: Colours) -> None:
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.uint16) or not mask.size:
        raise InputError(
            f"a mask is a uint8 or uint16 array (height, width), got {mask.dtype} {mask.shape}"
        )
    if mask.max() >= len(colours):
        raise InputError(
            f"the mask holds class {mask.max()}, but there are colours for {len(colours)} classes "
            "only"
        )
