"""What is read of features, wherever they lie: in one store, in several, all layers or some."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..spec import FeatureSpec
from .image_tables import StoredImage

__all__ = ["Features"]


class Features(Protocol):
    """Images with their activations, row by row. Safe for threads, and travels to processes."""

    @property
    def spec(self) -> FeatureSpec:
        """The recipe."""

    @property
    def images(self) -> tuple[StoredImage, ...]:
        """All images, by number."""

    @property
    def where(self) -> str:
        """The store, or stores, in quotes for a message."""

    @property
    def chunk_bytes(self) -> int:
        """The most bytes, in float16, that `map` reads at a time; all of it may be more than asked.

        What it returns is a part of them.
        """

    def rows(self, image: int | str) -> range:
        """Return the rows of an image, given by its number, name or stem."""

    def map(self, row: int, map_size: str) -> NDArray[np.float16]:
        """Return all activations of one map size in a row: (C, h, w)."""
