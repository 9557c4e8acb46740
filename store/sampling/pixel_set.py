"""A set of pixels of some rows, numbered 0 … N-1.

Pixels are numbered by row of the store in the order given, then line, then column: the order in
which the published code stacks its training vectors.
"""

from collections.abc import Collection, Iterable, Sequence
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
    places : iterable of integer arrays of shape (pixels,)
        The pixels of each row, ascending: ``y * width + x`` on the grid. They are consumed one by
        one.
    grid : (height, width)
        What each row is divided into: the row grid, or a finer one.

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
        places: Iterable[NDArray[np.integer[Any]]],
        grid: tuple[int, int],
    ) -> None:
        self.rows = np.asarray(rows, np.int64)
        self.images = np.asarray(images, np.int64)
        self.grid = grid
        height, width = grid
        counts, columns = list[NDArray[np.int64]](), list[NDArray[np.uint16]]()
        for own in places:
            line, column = np.divmod(own, width)
            counts.append(np.bincount(line, minlength=height))
            columns.append(column.astype(np.uint16))
        if not len(rows) == len(images) == len(counts):
            raise ValueError(f"{len(rows)} rows, {len(images)} images, pixels of {len(counts)}")
        by_line = np.concatenate(counts)
        self._line_starts = np.concatenate([[0], by_line.cumsum()])
        self.n = int(self._line_starts[-1])
        # of whole lines the column follows from the number
        whole = bool(((by_line == 0) | (by_line == width)).all())
        self._columns = None if whole else np.concatenate(columns)
        row_starts = self._line_starts[::height]
        first_rows = [i for i, image in enumerate(images) if i == 0 or images[i - 1] != image]
        self.image_starts = np.append(row_starts[first_rows], self.n)

    @classmethod
    def of_masks(
        cls, rows: Sequence[int], images: Sequence[int], masks: Sequence[NDArray[np.bool_]]
    ) -> Self:
        """Return the pixels where a mask of each row is true."""
        return cls(rows, images, map(np.flatnonzero, masks), masks[0].shape)

    @classmethod
    def whole(cls, rows: Sequence[int], images: Sequence[int], grid: tuple[int, int]) -> Self:
        """Return the set of all pixels of the rows."""
        every = np.arange(grid[0] * grid[1])
        return cls(rows, images, (every for _ in rows), grid)

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
        height = self.grid[0]
        places = (
            self._places(np.arange(*self._line_starts[[at * height, (at + 1) * height]]))
            for at in selected.tolist()
        )
        return type(self)(
            self.rows[selected].tolist(), self.images[selected].tolist(), places, self.grid
        )

    def subset(self, index: NDArray[np.integer[Any]]) -> Self:
        """Return some of the pixels, renumbered from 0, without the rows that have none of them.

        Parameters
        ----------
        index : integer array of shape (k,), values in [0, N), ascending
        """
        ends = np.searchsorted(index, self._line_starts[:: self.grid[0]])
        held = np.flatnonzero(np.diff(ends))
        places = (self._places(index[ends[at] : ends[at + 1]]) for at in held)
        return type(self)(self.rows[held].tolist(), self.images[held].tolist(), places, self.grid)

    def _places(self, index: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        yx = self.locate(index)[1]
        return yx[:, 0] * self.grid[1] + yx[:, 1]

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
            Line and column on the grid.
        """
        line = np.searchsorted(self._line_starts, index, side="right") - 1
        if self._columns is None:
            column = index - self._line_starts[line]
        else:
            column = self._columns[index].astype(np.int64)
        position, y = np.divmod(line, self.grid[0])
        return position, np.stack([y, column], axis=1)
