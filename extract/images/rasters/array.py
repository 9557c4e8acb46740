"""A raster in memory: what Pillow has decoded, or a file that has to be turned."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .raster import Raster

__all__ = ["ArrayRaster", "turned"]


class ArrayRaster(Raster):
    """Values in memory.

    Parameters
    ----------
    values : array of shape (H, W, C)
    white : int, optional
    nodata : float, optional
    pages : int
        See `Raster`.
    """

    def __init__(
        self,
        values: NDArray[Any],
        white: int | None = None,
        nodata: float | None = None,
        pages: int = 1,
    ) -> None:
        self._values, self.white, self.nodata, self.pages = values, white, nodata, pages
        self.size, self.channels = (values.shape[0], values.shape[1]), values.shape[2]
        self.dtype = values.dtype

    @property
    def segment_rows(self) -> int:
        """Any row can be had."""
        return 1

    def rows(self, first: int, last: int, channels: Sequence[int]) -> NDArray[Any]:
        """Return some rows."""
        return self._values[first:last][..., list(channels)]


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an array (H, W, C) turned as an EXIF orientation from 1 to 8 says.

    >>> turned(np.arange(2).reshape(1, 2, 1), 6)[..., 0].tolist()
    [[0], [1]]
    """
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values
