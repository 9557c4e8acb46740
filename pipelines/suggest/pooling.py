"""The mean activation of an image, taken while its maps pass by to the ensemble."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.spec import FeatureSpec

__all__ = ["Pooled"]


class Pooled:
    """Adds up what passes by.

    Parameters
    ----------
    spec : FeatureSpec
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec, self._rows = spec, 0
        self._sum = np.zeros(spec.dims, np.float64)

    def passing(self, maps: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield the maps of each tile of an image; take note of their means."""
        for row in maps:
            for size, one in row.items():
                mean = np.asarray(one, np.float32).mean(axis=(1, 2))
                for columns, channels in self._spec.columns_of(size):
                    self._sum[columns] += mean[channels]
            self._rows += 1
            yield row

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean of each channel, (D,): of all tiles that have passed."""
        return (self._sum / max(1, self._rows)).astype(np.float32)
