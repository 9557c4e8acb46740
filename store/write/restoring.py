"""Tables and metadata of a store that are damaged: found, and computed again from what is whole.

The tables say many things twice (see `dseg.store.read.tables`), so all but the names and sizes of
images follow from the others; names and sizes follow from the images.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ChunkCorruptError, StoreError
from ..format.keys import exists, list_numbers, put
from ..format.layout import (
    NO_IMAGE,
    UNSET,
    Array,
    Header,
    array_layouts,
    copied_attributes,
    open_arrays,
    open_group,
    read_header,
)
from ..geometry import Geometry, plan_tiles
from ..read.documents import DOCUMENT, documents_of
from ..read.tables import read_table
from ..spec import layer_columns

__all__ = ["Images", "find_damaged_tables", "restore_documents", "restore_root", "restore_tables"]

_NAME, _SIZE, _FIRST, _OWNER = "images/name", "images/size", "images/first_row", "rows/image"


@dataclass(frozen=True)
class Images:
    """What is known of a store's images from their files.

    Parameters
    ----------
    names : callable
        Returns the name of each image by the sha256 of its file; it may take long.
    sizes : mapping
        Height and width of each image, by name.
    """

    names: Callable[[], Mapping[bytes, str]]
    sizes: Mapping[str, tuple[int, int]]


def _tables(header: Header) -> list[str]:
    prefixes = ("images/", "rows/", "layers/")
    return [name for name in array_layouts(header) if name.startswith(prefixes)]


def find_damaged_tables(path: Path) -> dict[str, str]:
    """Return what is wrong with the tables of a store whose metadata are whole, in words, by name.

    Parameters
    ----------
    path : Path

    Raises
    ------
    StoreError
        If the store cannot be opened.
    """
    group = open_group(path)
    header = read_header(group, f"'{path}'")
    arrays, found = open_arrays(group, header, f"'{path}'"), dict[str, str]()
    for name in _tables(header):
        array = arrays[name]
        used = len(header.spec.layers) if name.startswith("layers/") else header.images
        used = header.rows if name.startswith("rows/") else used
        chunks = range(-(-used // array.chunks[0]))
        # of older stores a chunk that equals the fill may have been left out
        unset = array.fill_value in ("", None) or int(array.fill_value) < NO_IMAGE
        unset = unset or (int(array.fill_value) == UNSET and name != _OWNER)
        missing = [c for c in chunks if not exists(array.store, _key(array, c))]
        if missing and unset:
            found[name] = f"'{_key(array, missing[0])}' is missing"
            continue
        try:
            read_table(array, slice(used))
        except ChunkCorruptError:
            found[name] = "does not match its checksum"
    return found


def _key(array: Array, chunk: int) -> str:
    return "/".join([array.path, "c", str(chunk), *["0"] * (array.ndim - 1)])


def restore_root(path: Path) -> None:
    """Write the metadata of a store's root again, from the copy of its attributes.

    Raises
    ------
    StoreError
        If there is no whole copy, or it is of before the last images were entered.
    """
    lost = f"the attributes of '{path}' are damaged, and there is no whole copy of them"
    if not (path / "layers" / DOCUMENT).is_file():
        raise StoreError(lost)
    document = path / DOCUMENT
    damaged = document.read_bytes() if document.is_file() else None
    document.write_bytes(b'{"attributes": {}, "zarr_format": 3, "node_type": "group"}')
    group = open_group(path, write=True)
    attributes = copied_attributes(group)
    try:
        if attributes is None:
            raise StoreError(lost)
        header = Header.from_attributes(attributes, f"'{path}'")
        arrays = open_arrays(group, header, f"'{path}'")
        lengths = arrays[_NAME].shape[0], arrays[_OWNER].shape[0]
        if lengths != (header.images, header.rows):
            raise StoreError(lost)
    except StoreError:
        document.unlink() if damaged is None else document.write_bytes(damaged)
        raise
    group.attrs.put(attributes)


def restore_documents(path: Path, keys: Collection[str]) -> None:
    """Write metadata of groups and arrays again, from the feature spec.

    Parameters
    ----------
    path : Path
    keys : collection of str
        From `find_damaged_documents`.
    """
    group = open_group(path, write=True)
    attributes = group.attrs.asdict()
    documents = documents_of(read_header(group, f"'{path}'"), attributes)
    for key in keys:
        put(group.store, key, documents[key])


def restore_tables(path: Path, damaged: Collection[str], images: Images | None) -> None:
    """Write tables again, from those that are whole and from the images.

    Parameters
    ----------
    path : Path
    damaged : collection of str
        Names of tables, from `find_damaged_tables`.
    images : Images, optional
        The files that the features were made from.

    Raises
    ------
    StoreError
        If they do not follow from what is there; nothing is written then.
    """
    group = open_group(path, write=True)
    header = read_header(group, f"'{path}'")
    arrays = open_arrays(group, header, f"'{path}'")
    restored = _Restored(path, header, arrays, frozenset(damaged), images)
    for name, values in {name: restored.table(name) for name in damaged}.items():
        array = arrays[name]
        filled = np.full(array.shape, array.fill_value, values.dtype)
        filled[: len(values)] = values
        array[:] = filled


class _Restored:
    """The tables as they are, or as they must have been."""

    def __init__(
        self,
        path: Path,
        header: Header,
        arrays: Mapping[str, Array],
        damaged: frozenset[str],
        images: Images | None,
    ) -> None:
        self._path, self._header, self._arrays = path, header, arrays
        self._damaged, self._images = damaged, images
        self._known: dict[str, NDArray[Any]] = {}

    def table(self, name: str) -> NDArray[Any]:
        """Return the values of a table."""
        if name not in self._known:
            if name not in self._damaged:
                length = self._header.rows if name.startswith("rows/") else self._header.images
                self._known[name] = read_table(self._arrays[name], slice(length))
            elif name.startswith("layers/"):
                column = layer_columns(self._header.spec)[name]
                kind = object if isinstance(column[0], str) else np.int32
                self._known[name] = np.array(column, kind)
            else:
                self._known[name] = self._derived(name)
        return self._known[name]

    def _derived(self, name: str) -> NDArray[Any]:
        if name == _NAME:
            return self._names()
        if name == _SIZE:
            return self._sizes()
        if name == _FIRST:
            return self._first_rows()
        plans = self._plans()
        if name == "images/resized":
            return np.array([plan.resized for plan in plans], np.int32).reshape(-1, 2)
        if name == "images/row_count":
            return np.array([len(plan.offsets) for plan in plans], np.int32)
        owner = np.full(self._header.rows, NO_IMAGE, np.int64)
        corner = np.full((self._header.rows, 2), UNSET, np.int32)
        for number, (first, plan) in enumerate(zip(self.table(_FIRST), plans, strict=True)):
            rows = slice(first, first + len(plan.offsets))
            owner[rows], corner[rows] = number, plan.offsets
        return owner if name == _OWNER else corner

    def _plans(self) -> list[Geometry]:
        spec = self._header.spec
        sizes = self.table(_SIZE).tolist()
        return [plan_tiles((h, w), spec.row_shape, spec.fit, spec.overlap) for h, w in sizes]

    def _first_rows(self) -> NDArray[Any]:
        if _OWNER not in self._damaged:
            numbers, first = np.unique(self.table(_OWNER), return_index=True)
            found = dict(zip(numbers.tolist(), first.tolist(), strict=True))
            if all(number in found for number in range(self._header.images)):
                return np.array([found[n] for n in range(self._header.images)], np.int64)
        counts = np.array([len(plan.offsets) for plan in self._plans()], np.int64)
        if counts.sum() != self._header.rows:
            raise self._lost(_FIRST, "the rows of its images are not in their order")
        return counts.cumsum() - counts

    def _names(self) -> NDArray[Any]:
        if self._images is None:
            raise self._lost(_NAME, "give the folder of its images with --images")
        names, store = self._images.names(), self._arrays["complete"].store
        written = list_numbers(store, "complete/c", self._header.images)
        found: list[str] = []
        for number in range(self._header.images):
            digest = bytes(read_table(self._arrays["facts/sha256"], number))
            if number not in written or digest not in names:
                raise self._lost(_NAME, f"the file of image number {number} is not known")
            found.append(names[digest])
        return np.array(found, object)

    def _sizes(self) -> NDArray[Any]:
        if self._images is None:
            raise self._lost(_SIZE, "give the folder of its images with --images")
        names = [str(name) for name in self.table(_NAME)]
        absent = [name for name in names if name not in self._images.sizes]
        if absent:
            raise self._lost(_SIZE, f"'{absent[0]}' is not among --images")
        return np.array([self._images.sizes[name] for name in names], np.int32).reshape(-1, 2)

    def _lost(self, name: str, why: str) -> StoreError:
        return StoreError(
            f"the table '{name}' of '{self._path}' is damaged and cannot be computed again: {why}"
        )
