"""Contact sheets: images side by side, to be looked at."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from ..store.whole_file import write_whole

__all__ = ["contact_sheet", "is_foreign", "write_sheet"]

_GAP = 2  # pixels, white
_MARK = "Software", "dseg"


def contact_sheet(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay images on a sheet as near to a square as can be, with white between them.

    Parameters
    ----------
    images : array of shape (n, H, W, 3), uint8

    Returns
    -------
    array of shape (height, width, 3), uint8

    Examples
    --------
    >>> contact_sheet(np.zeros((5, 8, 6, 3), np.uint8)).shape
    (20, 24, 3)
    """
    n, height, width, _ = images.shape
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    sheet = np.full((down * (height + _GAP), across * (width + _GAP), 3), 255, np.uint8)
    for k, image in enumerate(images):
        y, x = (k // across) * (height + _GAP), (k % across) * (width + _GAP)
        sheet[y : y + height, x : x + width] = image
    return sheet


def write_sheet(path: Path, images: NDArray[np.uint8]) -> None:
    """Write a sheet as PNG, whole or not at all; it says that dseg made it.

    Parameters
    ----------
    path : path
    images : array of shape (n, H, W, 3), uint8

    Raises
    ------
    DsegError
        If it cannot be written.
    """
    mark = PngImagePlugin.PngInfo()
    mark.add_text(*_MARK)
    file = BytesIO()
    Image.fromarray(contact_sheet(images)).save(file, format="PNG", pnginfo=mark)
    write_whole(path, file.getvalue())


def is_foreign(path: Path) -> bool:
    """Whether a file is there that `write_sheet` did not write."""
    if not path.exists():
        return False
    try:
        with Image.open(path) as image:
            return image.info.get(_MARK[0]) != _MARK[1]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return True
