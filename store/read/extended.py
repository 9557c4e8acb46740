"""The features of one store with the rows of another one behind its own.

For a training that learns from images of two stores, such as labelled ones and photographs that an
ensemble has labelled itself.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..spec import FeatureSpec
from .image_tables import StoredImage
from .protocol import Features

__all__ = ["ExtendedFeatures"]


class ExtendedFeatures:
    """Features of one store, see `Features`; rows beyond its own are those of another.

    ``images`` and ``rows`` are those of the first. A row of the second is named by `beyond`.

    Parameters
    ----------
    first, second : Features
        Of one feature spec.

    Raises
    ------
    InputError
        If their specs differ.

    Attributes
    ----------
    spec : FeatureSpec
    """

    def __init__(self, first: Features, second: Features) -> None:
        if first.spec.hash != second.spec.hash:
            raise InputError(f"{first.where} and {second.where} hold different features")
        self.spec: FeatureSpec = first.spec
        self._first, self._second = first, second
        self._own_rows = max((i.first_row + i.row_count for i in first.images), default=0)

    @property
    def images(self) -> tuple[StoredImage, ...]:
        """The images of the first store."""
        return self._first.images

    @property
    def where(self) -> str:
        """Both, in quotes."""
        return f"{self._first.where} and {self._second.where}"

    @property
    def chunk_bytes(self) -> int:
        """The most bytes that `map` holds."""
        return max(self._first.chunk_bytes, self._second.chunk_bytes)

    def rows(self, image: int | str) -> range:
        """Return the rows of an image of the first store."""
        return self._first.rows(image)

    def beyond(self, row: int) -> int:
        """Return the number, here, of a row of the second store."""
        return self._own_rows + row

    def map(self, row: int, map_size: str) -> NDArray[np.float16]:
        """Return all activations of one map size in a row of either store: (C, h, w)."""
        if row < self._own_rows:
            return self._first.map(row, map_size)
        return self._second.map(row - self._own_rows, map_size)
