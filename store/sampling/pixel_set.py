"""A set of pixels of some rows, numbered 0 … N-1.

Pixels are numbered by row of the store in the order given, then line, then column: the order in
which the published code stacks its training vectors.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..read.interpolation import taps

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
        The pixels of each row, ascending: ``y * width + x`` on the row's grid. They are consumed
        one by one.
    row_shape : (height, width)
    factors : sequence of int, optional
        How many times finer than ``row_shape`` the grid of each row is; by default 1.

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
        row_shape: tuple[int, int],
        factors: Sequence[int] | None = None,
    ) -> None:
        self.rows = np.asarray(rows, np.int64)
        self.images = np.asarray(images, np.int64)
        self.row_shape = row_shape
        self.factors = np.asarray([1] * len(rows) if factors is None else factors, np.int64)
        counts, columns, whole = list[NDArray[np.int64]](), list[NDArray[np.uint16]](), True
        for factor, own in zip(self.factors, places, strict=False):
            height, width = self._grid(factor)
            line, column = np.divmod(own, width)
            by_line = np.bincount(line, minlength=height)
            whole = whole and bool(((by_line == 0) | (by_line == width)).all())
            counts.append(by_line)
            columns.append(column.astype(np.uint16))
        if not len(rows) == len(images) == len(counts):
            raise ValueError(f"{len(rows)} rows, {len(images)} images, pixels of {len(counts)}")
        self._first_lines = np.append(0, self.factors.cumsum()) * row_shape[0]
        self._line_starts = np.append(0, np.concatenate(counts).cumsum())
        self.n = int(self._line_starts[-1])
        # of whole lines the column follows from the number
        self._columns = None if whole else np.concatenate(columns)
        row_starts = self._line_starts[self._first_lines]
        first_rows = [i for i, image in enumerate(images) if i == 0 or images[i - 1] != image]
        self.image_starts = np.append(row_starts[first_rows], self.n)

    @classmethod
    def of_masks(
        cls, rows: Sequence[int], images: Sequence[int], masks: Sequence[NDArray[np.bool_]]
    ) -> Self:
        """Return the pixels where a mask of each row is true."""
        return cls(rows, images, map(np.flatnonzero, masks), masks[0].shape)

    @classmethod
    def whole(cls, rows: Sequence[int], images: Sequence[int], row_shape: tuple[int, int]) -> Self:
        """Return the set of all pixels of the rows."""
        every = np.arange(row_shape[0] * row_shape[1])
        return cls(rows, images, (every for _ in rows), row_shape)

    def _grid(self, factor: int) -> tuple[int, int]:
        return self.row_shape[0] * int(factor), self.row_shape[1] * int(factor)

    def grid(self, position: int) -> tuple[int, int]:
        """Return the height and width of the grid of a row, given by its index into ``rows``."""
        return self._grid(self.factors[position])

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
        starts = self._line_starts[self._first_lines]
        places = (self._places(np.arange(*starts[at : at + 2]), at) for at in selected.tolist())
        return self._of_rows(selected, places)

    def subset(self, index: NDArray[np.integer[Any]]) -> Self:
        """Return some of the pixels, renumbered from 0, without the rows that have none of them.

        Parameters
        ----------
        index : integer array of shape (k,), values in [0, N), ascending
        """
        ends = np.searchsorted(index, self._line_starts[self._first_lines])
        held = np.flatnonzero(np.diff(ends))
        return self._of_rows(
            held, (self._places(index[ends[at] : ends[at + 1]], at) for at in held.tolist())
        )

    def followed_by(self, other: "PixelSet") -> Self:
        """Return these pixels, then those of another set of other rows, numbered on.

        Raises
        ------
        ValueError
            If the rows of both have different shapes.
        """
        if self.row_shape != other.row_shape:
            raise ValueError(f"rows of {self.row_shape} and of {other.row_shape}")
        rows, images, factors = (
            np.concatenate(pair).tolist()
            for pair in (
                (self.rows, other.rows),
                (self.images, other.images),
                (self.factors, other.factors),
            )
        )
        places = chain(self._every_places(), other._every_places())
        return type(self)(rows, images, places, self.row_shape, factors)

    def _every_places(self) -> Iterator[NDArray[np.int64]]:
        """Yield the pixels of each row, as given."""
        starts = self._line_starts[self._first_lines]
        for at in range(len(self.rows)):
            yield self._places(np.arange(*starts[at : at + 2]), at)

    def _of_rows(self, positions: NDArray[np.int64], places: Iterable[NDArray[np.int64]]) -> Self:
        rows, images, factors = (x[positions] for x in (self.rows, self.images, self.factors))
        return type(self)(rows.tolist(), images.tolist(), places, self.row_shape, factors.tolist())

    def _places(self, index: NDArray[np.integer[Any]], position: int) -> NDArray[np.int64]:
        yx = self.locate(index)[1]
        return yx[:, 0] * self.grid(position)[1] + yx[:, 1]

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
            Line and column on the row's grid.
        """
        line = np.searchsorted(self._line_starts, index, side="right") - 1
        if self._columns is None:
            column = index - self._line_starts[line]
        else:
            column = self._columns[index].astype(np.int64)
        position = np.searchsorted(self._first_lines, line, side="right") - 1
        return position, np.stack([line - self._first_lines[position], column], axis=1)

    def taps(
        self, position: NDArray[np.int64], yx: NDArray[np.int64], map_shape: tuple[int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the cells that pixels read in the maps of their rows, and their weights.

        Parameters
        ----------
        position, yx
            From `locate`.
        map_shape : (height, width)

        Returns
        -------
        index, weight : arrays of shape (k, 4), int64 and float32
            See `store.read.interpolation.taps`.
        """
        factors = self.factors[position]
        index, weight = np.empty((len(yx), 4), np.int64), np.empty((len(yx), 4), np.float32)
        for factor in np.unique(factors):
            own = factors == factor
            index[own], weight[own] = taps(yx[own], self._grid(factor), map_shape)
        return index, weight
