"""Read the tables of a store, and check that they agree.

Planning writes the name, size and first row of each image. All other columns follow from these and
from the feature spec (`plan_tiles`), and ``rows/image`` is the inverse of ``images/first_row``.
This redundancy is the check: zarr reads a lost chunk as fill values, without an error, and a table
that lost one then contradicts the others.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ANEW, VERIFY, ChunkCorruptError, StoreError
from ..format.bounds import MOST_IMAGE_PIXELS, check_unpacked
from ..format.layout import PER_IMAGE_ARRAYS, Array, Header
from ..geometry import Geometry, count_tiles, plan_tiles
from ..names import stem_of, why_unsafe
from ..spec import NONE, layer_columns

__all__ = ["Entries", "check_layers", "read_entries", "read_names", "read_table"]

_OLD_FILTERS = -2  # what dseg 0.1 wrote for the timestep and the block of filters
_DERIVED = ("images/resized", "images/row_count", "images/first_row", "rows/image", "rows/offset")


@dataclass(frozen=True)
class Entries:
    """What the tables say about each image, by number.

    Parameters
    ----------
    names : list of str
    geometries : list of Geometry
        Which rows each image has, by its size.
    first_row : int64 array of shape (images,)
    inconsistent : mapping of int to str
        For images whose tables contradict each other: the table that does.
    """

    names: list[str]
    geometries: list[Geometry]
    first_row: NDArray[np.int64]
    inconsistent: Mapping[int, str]

    def check_consistent(self, complete: Collection[int], where: str) -> None:
        """Refuse a store if the tables contradict each other about a complete image.

        For an incomplete image that is no damage: a planning run that was killed leaves such
        entries, and the next one writes them again.

        Raises
        ------
        StoreError
            Names the table and the image.
        """
        for number, table in self.inconsistent.items():
            if number in complete:
                raise StoreError(
                    f"{where} is damaged: its table '{table}' contradicts the other tables "
                    f"for image '{self.names[number]}'. {ANEW}"
                )


def read_entries(arrays: Mapping[str, Array], header: Header, where: str) -> Entries:
    """Read the entries of all planned images.

    Raises
    ------
    ChunkCorruptError
        If a table does not match its checksum, or a part of the names or sizes is lost.
    StoreError
        If a name is no path within a folder, or two images have one stem.
    """
    names = read_names(arrays, header, where)
    sizes = read_table(arrays["images/size"], slice(header.images))
    if len(missing := np.flatnonzero((sizes < 1).any(axis=1))):
        raise ChunkCorruptError(
            f"{where} is damaged: image '{names[missing[0]]}' has no size, so a part of the "
            f"table 'images/size' is missing. {ANEW}"
        )
    if len(large := np.flatnonzero(sizes.astype(np.int64).prod(axis=1) > MOST_IMAGE_PIXELS)):
        height, width = sizes[large[0]]
        raise StoreError(
            f"{where} is damaged: image '{names[large[0]]}' has {height}x{width} pixels in it, but "
            f"no image has more than {MOST_IMAGE_PIXELS}. {ANEW}"
        )
    distinct_sizes, size_index = _unique(sizes)
    distinct = [_geometry(size, header) for size in distinct_sizes]
    first_row, inconsistent = _find_contradictions(arrays, header, distinct, size_index)
    geometries = [distinct[k] for k in size_index.tolist()]
    return Entries(names, geometries, first_row, inconsistent)


def _unique(sizes: NDArray[np.int32]) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Return the distinct sizes, and for each image the index of its own.

    A store has as many images as you like but few sizes: the geometry is planned once a size.
    """
    wide = sizes.astype(np.int64)
    # Height and width in one integer, which sorts faster than rows of an array (``axis=0``).
    keys, size_index = np.unique(wide[:, 0] << 32 | wide[:, 1], return_inverse=True)
    return [(int(key) >> 32, int(key) & 0xFFFFFFFF) for key in keys], size_index.reshape(-1)


def _geometry(size: tuple[int, int], header: Header) -> Geometry:
    """Return the tiles of an image size; none if they are more than the store has rows.

    They are counted before they are planned: a damaged size may ask for billions.
    """
    spec = header.spec
    if count_tiles(size, spec.row_shape, spec.fit, spec.overlap) > header.rows:
        return Geometry(size, size, (), spec.row_shape)
    return plan_tiles(size, spec.row_shape, spec.fit, spec.overlap)


def _find_contradictions(
    arrays: Mapping[str, Array],
    header: Header,
    distinct: list[Geometry],
    size_index: NDArray[np.int64],
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return the first row of each image, and by image the table that contradicts the others.

    Parameters
    ----------
    distinct : list of Geometry
        One for each distinct size.
    size_index : int64 array of shape (images,)
        Each image's index into ``distinct``.
    """
    images, rows = slice(header.images), slice(header.rows)
    resized = read_table(arrays["images/resized"], images)
    row_count = read_table(arrays["images/row_count"], images)
    first_row = read_table(arrays["images/first_row"], images)
    owner, offset = (read_table(arrays[f"rows/{key}"], rows) for key in ("image", "offset"))
    counts = np.array([len(plan.offsets) for plan in distinct], np.int64)
    count = counts[size_index]
    contradicts = {
        "images/resized": (
            resized != np.array([p.resized for p in distinct], np.int64).reshape(-1, 2)[size_index]
        ).any(axis=1),
        "images/row_count": (row_count != count) | (count == 0),
        "images/first_row": (first_row < 0) | (first_row + count > header.rows),
    }
    # One entry for each tile of all images: the image's number, and the tile's number within it.
    # Vectorised, as a store may have millions of rows; a row out of range is clipped here, and
    # reported by images/first_row above.
    image = np.repeat(np.arange(len(size_index)), count)
    within = np.arange(len(image)) - np.repeat(count.cumsum() - count, count)
    row = np.minimum(np.maximum(np.repeat(first_row, count), 0) + within, header.rows - 1)
    corners = np.array([c for plan in distinct for c in plan.offsets], np.int64).reshape(-1, 2)
    corner = corners[np.repeat((counts.cumsum() - counts)[size_index], count) + within]
    contradicts["rows/image"] = _images_with_any(owner[row] != image, image, len(size_index))
    contradicts["rows/offset"] = _images_with_any(
        (offset[row] != corner).any(axis=1), image, len(size_index)
    )
    inconsistent = {
        int(i): key for key in reversed(_DERIVED) for i in np.flatnonzero(contradicts[key])
    }
    return first_row, dict(sorted(inconsistent.items()))


def _images_with_any(
    contradicts: NDArray[np.bool_], image: NDArray[np.int64], images: int
) -> NDArray[np.bool_]:
    """Return a flag for each image: whether any of its rows is wrong."""
    return np.bincount(image[contradicts], minlength=images) > 0


def read_names(arrays: Mapping[str, Array], header: Header, where: str) -> list[str]:
    """Return the names of all planned images, by number.

    Raises
    ------
    ChunkCorruptError
        If the table is damaged, or a part of it is lost: its names then read as empty.
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
        if (reason := why_unsafe(name)) is not None:
            raise StoreError(
                f"{where} contains an image named {name!r}, which cannot be the name of a "
                f"mask: {reason}. dseg does not write such stores. {ANEW}"
            )
        other = seen.setdefault(stem_of(name), name)
        if other is not name:
            raise StoreError(
                f"{where} contains the images '{other}' and '{name}', whose names differ only "
                "in the extension, so their labels and masks would have the same name. dseg "
                f"does not write such stores. {ANEW}"
            )
    return names


def check_layers(arrays: Mapping[str, Array], header: Header, where: str) -> None:
    """Check that the tables of layers, which other programs read, agree with the feature spec.

    Raises
    ------
    ChunkCorruptError
        If one does not match its checksum.
    StoreError
        If one does not.
    """
    for name, column in layer_columns(header.spec).items():
        found = read_table(arrays[name], slice(len(column)))
        if name in ("layers/timestep", "layers/block"):
            found = np.where(found == _OLD_FILTERS, NONE, found)
        if found.tolist() != column:
            raise StoreError(
                f"{where} is damaged: its table '{name}' contradicts its feature spec. {ANEW}"
            )


def _chunks_of(array: Array, index: int | slice) -> Iterator[str]:
    """Yield the numbers of the chunks of part of a table that are to be looked at.

    Of numbers with a chunk for each entry there are too many, and none can be large.
    """
    length, entries = array.chunks[0], array.shape[0]
    start, stop = (index, index + 1) if isinstance(index, int) else index.indices(entries)[:2]
    if length > 1 or array.dtype.kind == "T":
        yield from map(str, range(start // length, -(-stop // length)))


def read_table(array: Array, index: int | slice) -> NDArray[Any]:
    """Read part of a table.

    Raises
    ------
    ChunkCorruptError
        If it does not match its checksum.
    """
    try:
        for number in _chunks_of(array, index):
            check_unpacked(array, "/".join([array.path, "c", number, *["0"] * (array.ndim - 1)]))
        return np.asarray(array[index])
    except (ValueError, RuntimeError) as error:
        per_image = array.path.startswith(PER_IMAGE_ARRAYS)
        raise ChunkCorruptError(
            f"the table '{array.path}' of {array.store} does not match its checksum. "
            + (VERIFY if per_image else ANEW)
        ) from error
