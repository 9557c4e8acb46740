"""The interface of features that can be read: of one store or several, all layers or some."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..spec import FeatureSpec
from .image_tables import StoredImage

__all__ = ["Features"]


class Features(Protocol):
    """Images with their activations, row by row. Safe for several threads; can be pickled."""

    @property
    def spec(self) -> FeatureSpec:
        """What the features are."""

    @property
    def images(self) -> tuple[StoredImage, ...]:
        """All images, by number."""

    @property
    def where(self) -> str:
        """The store, or stores, in quotes, for messages."""

    @property
    def chunk_bytes(self) -> int:
        """The most bytes, in float16, that one call of `map` holds while it reads.

        It may be more than `map` returns: a view reads whole chunks, and returns some layers.
        """

    def rows(self, image: int | str) -> range:
        """Return the rows of an image, given by its number, name or stem."""

    def map(self, row: int, map_size: str) -> NDArray[np.float16]:
        """Return all activations of one map size in a row: (C, h, w)."""
