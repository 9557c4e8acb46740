"""The tables of a store, read and held against each other.

Names, sizes and first rows are entered when a store is planned. All else follows from these and
from the recipe (`plan_rows`), and ``rows/image`` is the inverse of ``images/first_row``. So a table
that has lost a part never passes for whole, whatever its missing values read as.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ANEW, VERIFY, ChunkCorruptError, StoreError
from ..format.layout import FACTS, Array, Header
from ..geometry import Geometry, count_rows, plan_rows
from ..names import stem_of, unsafe
from ..spec import layer_columns

__all__ = ["Entries", "check_layers", "read_entries", "read_names", "read_table"]

_DERIVED = ("images/resized", "images/row_count", "images/first_row", "rows/image", "rows/offset")


@dataclass(frozen=True)
class Entries:
    """What the tables say of each image, by number.

    Parameters
    ----------
    names : list of str
    geometries : list of Geometry
        Which rows each image has, by its size.
    first_row : int64 array of shape (images,)
    doubts : mapping of int to str
        Which table contradicts the others, of the images where one does.
    """

    names: list[str]
    geometries: list[Geometry]
    first_row: NDArray[np.int64]
    doubts: Mapping[int, str]

    def refuse_doubts(self, complete: Collection[int], where: str) -> None:
        """Refuse a store of whose complete images one is in doubt.

        Of others that is no damage: a plan that was killed while it entered changed images leaves
        such, and the next one enters them again.

        Raises
        ------
        StoreError
            Naming the table and the image.
        """
        for number, table in self.doubts.items():
            if number in complete:
                raise StoreError(
                    f"{where} is damaged: its table '{table}' contradicts the other tables "
                    f"for image '{self.names[number]}'. {ANEW}"
                )


def read_entries(arrays: Mapping[str, Array], header: Header, where: str) -> Entries:
    """Read what the tables say of all planned images.

    Raises
    ------
    ChunkCorruptError
        If a table does not match its checksum, or a part of the names or sizes is gone.
    StoreError
        If a name is no path within a folder, or two images have one stem.
    """
    names = read_names(arrays, header, where)
    sizes = read_table(arrays["images/size"], slice(header.images))
    if len(lost := np.flatnonzero((sizes < 1).any(axis=1))):
        raise ChunkCorruptError(
            f"{where} is damaged: image '{names[lost[0]]}' has no size, so a part of the "
            f"table 'images/size' is missing. {ANEW}"
        )
    by_size, which = _unique(sizes)
    plans = [_geometry(size, header) for size in by_size]
    first_row, doubts = _held_together(arrays, header, plans, which)
    geometries = [plans[place] for place in which.tolist()]
    return Entries(names, geometries, first_row, doubts)


def _unique(sizes: NDArray[np.int32]) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Return each size once, and which of them each image has."""
    wide = sizes.astype(np.int64)
    keys, which = np.unique(wide[:, 0] << 32 | wide[:, 1], return_inverse=True)
    return [(int(key) >> 32, int(key) & 0xFFFFFFFF) for key in keys], which.reshape(-1)


def _geometry(size: tuple[int, int], header: Header) -> Geometry:
    """Return the rows of an image of a size; none where there would be more than the store has."""
    spec = header.spec
    if count_rows(size, spec.row_shape, spec.fit, spec.overlap) > header.rows:
        return Geometry(size, size, (), spec.row_shape)
    return plan_rows(size, spec.row_shape, spec.fit, spec.overlap)


def _held_together(
    arrays: Mapping[str, Array],
    header: Header,
    plans: list[Geometry],
    which: NDArray[np.int64],
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return the first row of each image, and which table contradicts the others, where one does.

    Parameters
    ----------
    plans : list of Geometry
        One of each size.
    which : int64 array of shape (images,)
        Which of them each image has.
    """
    images, rows = slice(header.images), slice(header.rows)
    resized = read_table(arrays["images/resized"], images)
    row_count = read_table(arrays["images/row_count"], images)
    first_row = read_table(arrays["images/first_row"], images)
    owner, offset = (read_table(arrays[f"rows/{key}"], rows) for key in ("image", "offset"))
    counts = np.array([len(plan.offsets) for plan in plans], np.int64)
    count = counts[which]
    wrong = {
        "images/resized": (
            resized != np.array([p.resized for p in plans], np.int64).reshape(-1, 2)[which]
        ).any(axis=1),
        "images/row_count": (row_count != count) | (count == 0),
        "images/first_row": (first_row < 0) | (first_row + count > header.rows),
    }
    # The rows of all images side by side: number of the image, number of the row within it.
    image = np.repeat(np.arange(len(which)), count)
    within = np.arange(len(image)) - np.repeat(count.cumsum() - count, count)
    row = np.minimum(np.maximum(np.repeat(first_row, count), 0) + within, header.rows - 1)
    corners = np.array([c for plan in plans for c in plan.offsets], np.int64).reshape(-1, 2)
    corner = corners[np.repeat((counts.cumsum() - counts)[which], count) + within]
    wrong["rows/image"] = _any_of(owner[row] != image, image, len(which))
    wrong["rows/offset"] = _any_of((offset[row] != corner).any(axis=1), image, len(which))
    doubts = {int(i): key for key in reversed(_DERIVED) for i in np.flatnonzero(wrong[key])}
    return first_row, dict(sorted(doubts.items()))


def _any_of(wrong: NDArray[np.bool_], image: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """Return of which images a row is wrong."""
    return np.bincount(image[wrong], minlength=images) > 0


def read_names(arrays: Mapping[str, Array], header: Header, where: str) -> list[str]:
    """Return the names of all planned images, by number.

    Raises
    ------
    ChunkCorruptError
        If the table is damaged, or a part of it is gone: then names read as empty.
    StoreError
        If a name is no path within a folder, or two images have one stem.
    """
    names = [str(name) for name in read_table(arrays["images/name"], slice(header.images))]
    if "" in names:
        raise ChunkCorruptError(
            f"{where} is damaged: image number {names.index('')} has no name, so a part of "
            f"the table 'images/name' is missing. {ANEW}"
        )
    seen: dict[str, str] = {}
    for name in names:
        if (reason := unsafe(name)) is not None:
            raise StoreError(
                f"{where} contains an image named {name!r}, which cannot be the name of a "
                f"mask: {reason}. dseg does not write such stores. {ANEW}"
            )
        twin = seen.setdefault(stem_of(name), name)
        if twin is not name:
            raise StoreError(
                f"{where} contains the images '{twin}' and '{name}', whose names differ only "
                "in the extension, so their labels and masks could not be told apart. dseg "
                f"does not write such stores. {ANEW}"
            )
    return names


def check_layers(arrays: Mapping[str, Array], header: Header, where: str) -> None:
    """Check that the tables of layers, which others read, say what the recipe says.

    Raises
    ------
    ChunkCorruptError
        If one does not match its checksum.
    StoreError
        If one says something else.
    """
    for name, column in layer_columns(header.spec).items():
        if read_table(arrays[name], slice(len(column))).tolist() != column:
            raise StoreError(
                f"{where} is damaged: its table '{name}' contradicts its feature spec. {ANEW}"
            )


def read_table(array: Array, which: int | slice) -> NDArray[Any]:
    """Read part of a table.

    Raises
    ------
    ChunkCorruptError
        If it does not match its checksum.
    """
    try:
        return np.asarray(array[which])
    except (ValueError, RuntimeError) as error:
        of_an_image = array.path.startswith(FACTS)
        raise ChunkCorruptError(
            f"the table '{array.path}' of {array.store} does not match its checksum. "
            + (VERIFY if of_an_image else ANEW)
        ) from error
