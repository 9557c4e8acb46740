"""Stores of synthetic images: images with masks and uncertainty in one Zarr group, not features.

============  ==================  ==================================================
array         shape               holds
============  ==================  ==================================================
images        (n, H, W, 3) uint8  the images
labels        (n, H, W)           their masks, class ids, uint8 or uint16
uncertainty   (n, H, W) float32   of each pixel, nats
seed          (n,) int64          of each image
score         (n,) float32        `image_uncertainty`; NaN where the image is not there
kept          (n,) bool           whether the image is kept
============  ==================  ==================================================

An image is a chunk, which ends in its checksum (crc32c) and is written whatever it holds.
Attributes of the group: ``format`` "dseg-synthetic", ``version``, ``classes`` (names and colours)
and ``facts``: how all were made.
"""

import math
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import zarr
import zarr.errors
from numpy.typing import NDArray

from .errors import DsegError, InputError
from .texts import Readable, read_json

__all__ = ["ARRAYS", "FORMAT", "VERSION", "StoredImages", "is_synthetic_store", "no_features"]

FORMAT, VERSION = "dseg-synthetic", 1
ARRAYS = ("images", "labels", "uncertainty", "seed", "score", "kept")
_DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError, zarr.errors.BaseZarrError)


class _Folder(Protocol):
    def __truediv__(self, name: str, /) -> Readable: ...


def is_synthetic_store(path: _Folder) -> bool:
    """Say whether a path is a store of synthetic images."""
    try:
        plain = read_json(path / "zarr.json")
        return bool(plain["attributes"]["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def no_features(where: object) -> str:
    """Return what to say where such a store was given for a feature store."""
    return (
        f"{where} holds synthetic images with masks, not features: `dseg distil` takes it. For "
        "other commands have `dseg synthesize --out folder` write a folder of image files"
    )


class StoredImages:
    """A store of synthetic images, opened for reading by `StoredImages.open`.

    An image is read when it is asked for. Safe for several threads.

    Attributes
    ----------
    path : Path
    classes : list
        Plain JSON values, a name and a colour a class.
    size : tuple of int
        Height and width of the images.
    there : tuple of int
        Numbers of the images that are there.
    kept : tuple of int
        Of those the ones that the filter keeps; none before the run that draws them has ended.
    """

    def __init__(self, path: Path, group: Any) -> None:
        self.path = path
        self._arrays = {name: group[name] for name in ARRAYS}
        images, labels = self._arrays["images"], self._arrays["labels"]
        self.size: tuple[int, int] = tuple(images.shape[1:3])
        self.classes: list[Any] = list(group.attrs["classes"])
        scores, kept = (np.asarray(self._arrays[name][:]) for name in ("score", "kept"))
        counts = {array.shape[0] for array in self._arrays.values()}
        if len(counts) != 1 or images.shape[3:] != (3,) or labels.shape[1:] != self.size:
            shapes = {name: array.shape for name, array in self._arrays.items()}
            raise ValueError(f"its arrays have the shapes {shapes}")
        self.there = tuple(k for k, score in enumerate(scores.tolist()) if not math.isnan(score))
        self.kept = tuple(k for k in self.there if kept[k])

    @staticmethod
    def stem(number: int) -> str:
        """Return what lists call an image: as its file is called where images are files."""
        return f"{number:06d}"

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store.

        Raises
        ------
        InputError
            If it is none, or of another version.
        DsegError
            If it is damaged.
        """
        if not is_synthetic_store(path):
            raise InputError(f"'{path}' is not a store of synthetic images")
        try:
            group = zarr.open_group(path, mode="r")
            version = group.attrs.get("version")
            if version == VERSION:
                return cls(path, group)
        except _DAMAGE as error:
            raise DsegError(
                f"the synthetic images in '{path}' are damaged: {error}. Make them again with "
                "`dseg synthesize --overwrite`"
            ) from error
        raise InputError(
            f"'{path}' holds synthetic images of format version {version}, but this dseg reads "
            f"version {VERSION}: install the dseg that wrote it, or make them again"
        )

    def image(self, number: int) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3).

        Raises
        ------
        DsegError
            If it cannot be read; so do `label` and `uncertainty`.
        """
        return self._read("images", number)

    def label(self, number: int) -> NDArray[np.unsignedinteger]:
        """Return the mask of an image, (H, W), class ids."""
        return self._read("labels", number)

    def uncertainty(self, number: int) -> NDArray[np.float32]:
        """Return the uncertainty of the pixels of an image, (H, W), nats."""
        return self._read("uncertainty", number)

    def _read(self, name: str, number: int) -> NDArray[Any]:
        try:
            return np.asarray(self._arrays[name][number])
        except _DAMAGE as error:
            raise DsegError(
                f"image '{self.stem(number)}' of '{self.path}' cannot be read ({name}: {error}): "
                "leave it out with --list, or make the images again with `dseg synthesize "
                "--overwrite`"
            ) from error
