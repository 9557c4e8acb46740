"""A set of pixels: those of some rows that a mask selects, numbered 0 … N-1.

Pixels are numbered by row of the store in the order given, then line, then column: the order in
which the published code stacks its training vectors.
"""

from collections.abc import Collection, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["PixelSet"]


class PixelSet:
    """Numbered pixels of some rows of a store.

    It holds 8 bytes a line and, if some lines are partly selected, 2 bytes a pixel: much less than
    the 8 · N bytes of a list of pixels.

    Parameters
    ----------
    rows : sequence of int
        Row numbers in the store.
    images : sequence of int
        The image of each row; rows of one image are adjacent.
    masks : sequence of bool arrays of shape row_shape
        True for pixels of the set.

    Attributes
    ----------
    n : int
        N, the number of pixels.
    rows, images : arrays of shape (rows,), int64
        As given.
    image_starts : array of shape (n_images + 1,), int64
        The pixels of the i-th distinct image are ``image_starts[i]`` … ``image_starts[i + 1] - 1``.
    """

    def __init__(
        self,
        rows: Sequence[int],
        images: Sequence[int],
        masks: Sequence[NDArray[np.bool_]],
    ) -> None:
        if not len(rows) == len(images) == len(masks):
            raise ValueError(f"{len(rows)} rows, {len(images)} images, {len(masks)} masks")
        self.rows = np.asarray(rows, np.int64)
        self.images = np.asarray(images, np.int64)
        self.row_shape: tuple[int, int] = masks[0].shape
        counts = np.concatenate([mask.sum(axis=1) for mask in masks]).astype(np.int64)
        self._line_starts = np.concatenate([[0], counts.cumsum()])
        self.n = int(self._line_starts[-1])
        self._columns = self._partial_columns(counts, masks)
        row_starts = self._line_starts[:: self.row_shape[0]]
        first_rows = [i for i, image in enumerate(images) if i == 0 or images[i - 1] != image]
        self.image_starts = np.append(row_starts[first_rows], self.n)

    def _partial_columns(
        self, counts: NDArray[np.int64], masks: Sequence[NDArray[np.bool_]]
    ) -> NDArray[np.uint16] | None:
        width = self.row_shape[1]
        if bool(((counts == 0) | (counts == width)).all()):
            return None  # whole lines: the column follows from the number
        return np.concatenate([np.nonzero(mask)[1].astype(np.uint16) for mask in masks])

    @classmethod
    def whole(cls, rows: Sequence[int], images: Sequence[int], row_shape: tuple[int, int]) -> Self:
        """Return the set of all pixels of the rows."""
        return cls(rows, images, [np.ones(row_shape, bool)] * len(rows))

    def of_images(self, images: Collection[int]) -> Self:
        """Return the pixels of some of the images, renumbered from 0.

        Raises
        ------
        ValueError
            If no row belongs to these images.
        """
        selected = np.flatnonzero(np.isin(self.images, list(images)))
        if not len(selected):
            raise ValueError(f"no row is of the images {sorted(images)}")
        masks = [self._mask(position) for position in selected.tolist()]
        return type(self)(self.rows[selected].tolist(), self.images[selected].tolist(), masks)

    def _mask(self, position: int) -> NDArray[np.bool_]:
        """Return the mask of one of the rows."""
        height = self.row_shape[0]
        start, stop = self._line_starts[[position * height, (position + 1) * height]]
        _, yx = self.locate(np.arange(start, stop))
        mask = np.zeros(self.row_shape, bool)
        mask[yx[:, 0], yx[:, 1]] = True
        return mask

    def locate(
        self, index: NDArray[np.integer[Any]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where pixels lie.

        Parameters
        ----------
        index : integer array of shape (k,), values in [0, N)

        Returns
        -------
        position : array of shape (k,), int64
            Which of ``rows`` each pixel lies in: the index into ``rows``, not the row number.
        yx : array of shape (k, 2), int64
            Line and column on the row grid.
        """
        line = np.searchsorted(self._line_starts, index, side="right") - 1
        if self._columns is None:
            column = index - self._line_starts[line]
        else:
            column = self._columns[index].astype(np.int64)
        position, y = np.divmod(line, self.row_shape[0])
        return position, np.stack([y, column], axis=1)
