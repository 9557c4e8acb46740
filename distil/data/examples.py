"""One thing to learn from: an image, or a tile of one, with its target, read from disk.

Everything is at the size at which the student sees the image (`View`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...extract.images.reading import PLAIN, UnreadableImage, read_image
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import DsegError
from ...store.geometry import Geometry
from ...store.synthetic import StoredImages
from .soft_labels import read_soft_label

__all__ = [
    "UNLABELLED",
    "Example",
    "ImageFile",
    "LabelTarget",
    "Loaded",
    "Picture",
    "SoftTarget",
    "StoredPicture",
    "Target",
    "nearest",
]

_Value = TypeVar("_Value", bound=np.generic)

UNLABELLED = 65535
"""Class id of pixels that have none."""


@dataclass(frozen=True)
class Truth:
    """A target as it is kept: soft, or class ids.

    Parameters
    ----------
    probabilities : array of shape (C, h, w), uint8, or None
        Of 255; None where ``ids`` are given.
    ids : array of shape (h, w), uint16, or None
        `UNLABELLED` where there is no class.
    certainty : array of shape (h, w), uint8, or None
        How much a pixel counts, of 255; None: as much as any.
    """

    probabilities: NDArray[np.uint8] | None = None
    ids: NDArray[np.uint16] | None = None
    certainty: NDArray[np.uint8] | None = None

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        parts = (self.probabilities, self.ids, self.certainty)
        return sum(part.nbytes for part in parts if part is not None)


@dataclass(frozen=True)
class Loaded:
    """An example in memory.

    Parameters
    ----------
    pixels : array of shape (h, w, 3), uint8
    truth : Truth
        Of the same height and width.
    """

    pixels: NDArray[np.uint8]
    truth: Truth

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return self.pixels.nbytes + self.truth.n_bytes


class Picture(Protocol):
    """Where the pixels of an image come from; equal ones are of the same image."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def read(self) -> NDArray[np.uint8]:
        """Return the image, (H, W, 3).

        Raises
        ------
        UnreadableImage
            If it cannot be read.
        """


@dataclass(frozen=True)
class ImageFile:
    """An image in a file.

    Parameters
    ----------
    path : Path
    reading : ReadingSpec
    """

    path: Path
    reading: ReadingSpec = PLAIN

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def read(self) -> NDArray[np.uint8]:
        """Return the image."""
        return read_image(self.path, self.reading)


@dataclass(frozen=True)
class StoredPicture:
    """An image in a store of synthetic images.

    Parameters
    ----------
    store : StoredImages
    number : int
    """

    store: StoredImages
    number: int

    @property
    def name(self) -> str:
        """What lists call it."""
        return self.store.stem(self.number)

    def read(self) -> NDArray[np.uint8]:
        """Return the image."""
        try:
            return self.store.image(self.number)
        except DsegError as error:
            raise UnreadableImage(str(error)) from error


class Target(Protocol):
    """Where a target comes from."""

    def read(self, geometry: Geometry, tile: int) -> Truth:
        """Return the target of a tile of an image."""


@dataclass(frozen=True)
class SoftTarget:
    """A teacher's soft label.

    Parameters
    ----------
    path : Path
        Of the tile's file, see `soft_labels`.
    """

    path: Path

    def read(self, geometry: Geometry, tile: int) -> Truth:
        """Return the target of the tile."""
        soft = read_soft_label(self.path)
        if soft.certainty.shape != geometry.content(tile):
            raise DsegError(
                f"the soft label '{self.path}' has the shape {soft.certainty.shape}, expected "
                f"{geometry.content(tile)}. Remove it and repeat the command"
            )
        return Truth(soft.probabilities, certainty=soft.certainty)


@dataclass(frozen=True)
class LabelTarget:
    """A label map, by the nearest pixel at the student's size.

    Parameters
    ----------
    label : callable
        Reads the label map, (H, W), class ids.
    ignore : int
        The id of pixels without a class.
    uncertainty : callable, optional
        Reads the uncertainty of its pixels, (H, W), nats.
    most : float
        The uncertainty of which a pixel counts nothing.
    """

    label: Callable[[], NDArray[Any]]
    ignore: int
    uncertainty: Callable[[], NDArray[Any]] | None = None
    most: float = 1.0

    def read(self, geometry: Geometry, tile: int) -> Truth:
        """Return the target of a tile."""
        seen = _part(self.label(), geometry, tile)
        ids = seen.astype(np.uint16)
        ids[seen == self.ignore] = UNLABELLED
        if self.uncertainty is None:
            return Truth(ids=ids)
        nats = _part(self.uncertainty(), geometry, tile)
        certainty = np.clip(1 - nats.astype(np.float32) / self.most, 0, 1)
        return Truth(ids=ids, certainty=np.rint(255 * certainty).astype(np.uint8))


def _part(whole: NDArray[_Value], geometry: Geometry, tile: int) -> NDArray[_Value]:
    """Return the part of a map that a tile shows, each cell's nearest pixel."""
    return nearest(whole, geometry.resized, geometry.offsets[tile], geometry.content(tile))


def nearest(
    values: NDArray[_Value],
    size: tuple[int, int],
    start: tuple[int, int] = (0, 0),
    part: tuple[int, int] | None = None,
) -> NDArray[_Value]:
    """Return a map (h, w) at another size, or a part of it: each cell's nearest pixel.

    Parameters
    ----------
    values : array of shape (h, w)
    size : tuple of int
        Height and width of the whole.
    start, part : tuple of int
        First row and column of the part, and its height and width; by default all.
    """
    y, x = (
        ((first + np.arange(length) + 0.5) * source / target).astype(np.int64)
        for first, length, source, target in zip(
            start, part or size, values.shape, size, strict=True
        )
    )
    seen: NDArray[_Value] = values[y[:, None], x]
    return seen


@dataclass(frozen=True)
class Example:
    """An image, or a tile of one, with its target.

    Parameters
    ----------
    image : Picture
    geometry : Geometry
        How the student sees the image.
    tile : int
        Which of its tiles.
    target : Target
    """

    image: Picture
    geometry: Geometry
    tile: int
    target: Target

    def load(self) -> Loaded:
        """Read it.

        Raises
        ------
        UnreadableImage
            If the image cannot be read, or has another size now.
        DsegError
            If the target cannot be read.
        """
        image = self.image.read()
        if image.shape[:2] != self.geometry.size:
            raise UnreadableImage(f"'{self.image.name}' changed while it was used")
        height, width = self.geometry.resized
        if self.geometry.resized != self.geometry.size:
            resample = Image.Resampling.BILINEAR
            image = np.asarray(Image.fromarray(image).resize((width, height), resample))
        (y, x), (h, w) = self.geometry.offsets[self.tile], self.geometry.content(self.tile)
        pixels = np.ascontiguousarray(image[y : y + h, x : x + w])
        return Loaded(pixels, self.target.read(self.geometry, self.tile))
