"""Soft labels on disk: a teacher's class probabilities of one image or tile, 8 bits each.

A file is a compressed ``.npz`` with ``probabilities`` (C, h, w) and ``certainty`` (h, w), both
uint8: 255 times the value, rounded. So a value is off by at most 1/510; most are 0 or 255, and a
file takes a few bytes a pixel at most.
"""

import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...store.errors import DsegError
from ...store.whole_file import write_whole

__all__ = ["SoftLabel", "read_soft_label", "write_soft_label"]

SCALE = 255


@dataclass(frozen=True)
class SoftLabel:
    """What a teacher says of an image or tile.

    Parameters
    ----------
    probabilities : array of shape (C, h, w), uint8
        Of 255.
    certainty : array of shape (h, w), uint8
        How much a pixel counts, of 255.
    """

    probabilities: NDArray[np.uint8]
    certainty: NDArray[np.uint8]

    @classmethod
    def of(
        cls, probabilities: NDArray[np.floating], certainty: NDArray[np.floating]
    ) -> "SoftLabel":
        """Return values in [0, 1], rounded to 8 bits.

        Examples
        --------
        >>> soft = SoftLabel.of(np.array([[[0.25]], [[0.75]]]), np.array([[1.0]]))
        >>> soft.probabilities.ravel(), soft.certainty.ravel()
        (array([ 64, 191], dtype=uint8), array([255], dtype=uint8))
        """
        return cls(_rounded(probabilities), _rounded(certainty))


def _rounded(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    scaled = np.rint(SCALE * np.clip(values.astype(np.float32), 0, 1))
    return scaled.astype(np.uint8)


def write_soft_label(path: Path, soft: SoftLabel) -> None:
    """Write a soft label, whole or not at all.

    Raises
    ------
    DsegError
        If it cannot be written.
    """
    file = BytesIO()
    np.savez_compressed(file, probabilities=soft.probabilities, certainty=soft.certainty)
    write_whole(path, file.getvalue())


def read_soft_label(path: Path) -> SoftLabel:
    """Read what `write_soft_label` wrote.

    Raises
    ------
    DsegError
        If it cannot be read.
    """
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
            soft = SoftLabel(file["probabilities"], file["certainty"])
        fits = soft.probabilities.ndim == 3 and soft.probabilities.dtype == np.uint8
        if not fits or soft.certainty.shape != soft.probabilities.shape[1:]:
            raise ValueError(f"its arrays are {soft.probabilities.shape}, {soft.certainty.shape}")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DsegError(
            f"the soft label '{path}' cannot be read: {error}. Remove it and repeat the command"
        ) from error
    return soft
