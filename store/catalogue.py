"""The images of a store: what its tables and flags say of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ChunkCorruptError, StoreError
from .geometry import Geometry
from .keys import list_numbers
from .layout import Array, Header, stem_of

__all__ = ["StoredImage", "read_images", "read_names", "read_table"]


@dataclass(frozen=True)
class StoredImage:
    """An image of the store.

    Parameters
    ----------
    index : int
        Its number.
    name : str
        Path within the images' folder, with extension.
    geometry : Geometry
    first_row, row_count : int
        Its rows in the store.
    complete : bool
        Whether all of it had been written when the store was opened.
    failed : str or None
        Why it could not be extracted.
    """

    index: int
    name: str
    geometry: Geometry
    first_row: int
    row_count: int
    complete: bool
    failed: str | None
    _sha256: Array = field(repr=False, compare=False)

    @property
    def stem(self) -> str:
        """The name without extension; by it label maps and masks find the image."""
        return stem_of(self.name)

    @property
    def sha256(self) -> bytes:
        """sha256 of the file it was extracted from, 32 bytes; zeros if not known. Read anew."""
        return bytes(read_table(self._sha256, self.index))


def read_images(arrays: Mapping[str, Array], header: Header, where: str) -> tuple[StoredImage, ...]:
    """Return all planned images of a store, by number.

    Which are complete and which failed is read by listing the flags' keys, however many there are.

    Raises
    ------
    ChunkCorruptError
        If a table does not match its checksum.
    StoreError
        If the tables give an image rows that are not there.
    """
    keys = ("size", "resized", "first_row", "row_count")
    columns = [read_table(arrays[f"images/{key}"], slice(header.images)) for key in keys]
    names = read_names(arrays, header, where)
    offsets = read_table(arrays["rows/offset"], slice(header.rows))
    store = arrays["complete"].store
    complete, failed = list_numbers(store, "complete/c"), list_numbers(store, "failed/c")
    images = []
    for number, (name, size, resized, first, count) in enumerate(zip(names, *columns, strict=True)):
        if first < 0 or count < 1 or first + count > header.rows:
            raise StoreError(
                f"{where} is damaged: image '{name}' has rows {first} to {first + count - 1} of "
                f"{header.rows}. If planning was interrupted, run the same extract again"
            )
        corners = tuple((int(y), int(x)) for y, x in offsets[first : first + count])
        images.append(
            StoredImage(
                number,
                name,
                Geometry(_pair(size), _pair(resized), corners, header.spec.row_shape),
                int(first),
                int(count),
                number in complete,
                str(read_table(arrays["facts/reason"], number)) if number in failed else None,
                arrays["facts/sha256"],
            )
        )
    return tuple(images)


def _pair(values: NDArray[np.int32]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def read_names(arrays: Mapping[str, Array], header: Header, where: str) -> list[str]:
    """Return the names of all planned images, by number.

    Raises
    ------
    ChunkCorruptError
        If the table is damaged, or a part of it is gone: then names read as empty.
    """
    names = [str(name) for name in read_table(arrays["images/name"], slice(header.images))]
    if "" in names:
        raise ChunkCorruptError(
            f"{where} is damaged: image number {names.index('')} has no name, so a part of the "
            "table 'images/name' is gone. Delete the store and extract again"
        )
    return names


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
        raise ChunkCorruptError(
            f"the table '{array.path}' of {array.store} does not match its checksum: delete the "
            "store and extract again"
        ) from error
