"""``--layout dense``: export the feature vector of every pixel, upsampled.

For programs that cannot interpolate. Far larger than the store it is made from (`dense_bytes`
over `FeatureSpec.bytes_per_row`), without more information; dseg itself reads the native layout
only.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from ..errors import InputError
from ..format.codecs import DEFAULT_CODEC, codec_named
from ..format.keys import exists
from ..format.layout import (
    DENSE,
    PER_IMAGE_ARRAYS,
    Array,
    Header,
    create_store,
    initial_attributes,
    open_arrays,
    open_group,
    read_header,
)
from ..read.image_tables import StoredImage
from ..read.interpolation import feature_vectors, rectangle
from ..read.reader import FeatureStore
from ..read.tables import read_table
from ..spec import FORMAT, FeatureSpec
from ..urls.location import Location
from .planning import refuse_foreign

__all__ = ["dense_bytes", "dense_codec", "dense_tiles", "export_dense"]


def dense_bytes(spec: FeatureSpec, n_rows: int) -> int:
    """Return how many bytes a dense export takes before compression."""
    return 2 * spec.dims * spec.row_shape[0] * spec.row_shape[1] * n_rows


def dense_codec(codec: str) -> str:
    """Return the codec of an export: the store's, or the default if that quantises maps.

    The scales of a quantised store belong to native maps, not to upsampled vectors.
    """
    return DEFAULT_CODEC if codec_named(codec).quantised else codec


def export_dense(
    store: FeatureStore,
    path: str | Path,
    *,
    overwrite: bool = False,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Write the feature vectors of every pixel of all complete images.

    Memory holds the maps of one row and a block of 64x64 pixels. An export that was killed starts
    again from the beginning.

    Parameters
    ----------
    store : FeatureStore
    path : str or Path
        A folder that is missing or empty.
    overwrite : bool
        Replace a store or an export.
    advance : callable, optional
        Called with 1 for each row.

    Raises
    ------
    InputError
        If the folder holds something else, or may not be replaced.
    StoreError
        If the store is damaged.
    """
    folder = Path(path)
    _clear_target(folder, store.path, overwrite)
    group = zarr.open_group(
        LocalStore(folder), mode="a", zarr_format=3, attributes=initial_attributes(DENSE)
    )
    counts = len(store.images), store.n_rows
    drawn = {image.index: image.drawn for image in store.images if image.drawn is not None}
    header = Header(store.spec, dense_codec(store.codec), *counts, DENSE, drawn)
    create_store(group, header)
    arrays = open_arrays(group, header, f"'{folder}'")
    source = open_group(store.path)
    stored = open_arrays(source, read_header(source, store.where), store.where)
    _copy_tables(stored, arrays)
    for image in store.images:
        if image.complete:
            for row in store.rows(image.index):
                _export_row(store, row, arrays["features/dense"])
                if advance is not None:
                    advance(1)
        _copy_facts(image, stored, arrays)
    group.attrs.put(header.to_attributes())


def _clear_target(folder: Path, source: Location, overwrite: bool) -> None:
    """Remove what the target folder holds, or refuse to."""
    refuse_foreign(folder)
    if not exists(LocalStore(folder), "zarr.json"):
        return
    attributes = open_group(folder).attrs.asdict()
    is_ours = attributes.get("format") == FORMAT and folder.resolve() != source.resolve()
    # Attributes without a spec are those of an export that was killed: it is always replaced.
    if attributes != initial_attributes(DENSE) and not (overwrite and is_ours):
        raise InputError(f"'{folder}' exists already: give another folder, or use --overwrite")
    shutil.rmtree(folder)


def _copy_tables(source: Mapping[str, Array], target: Mapping[str, Array]) -> None:
    """Copy the tables that are written while planning."""
    for name, array in target.items():
        if not name.startswith(("features/", *PER_IMAGE_ARRAYS)):
            array[:] = read_table(source[name], slice(array.shape[0]))


def _copy_facts(
    image: StoredImage, source: Mapping[str, Array], target: Mapping[str, Array]
) -> None:
    """Copy the facts of an image, and then its flag, if it has one."""
    number = image.index
    if image.complete:
        for name in ("facts/sha256", "facts/nonfinite", "facts/clipped"):
            target[name][number] = read_table(source[name], number)
        target["complete"][number] = True
    elif image.failed is not None:
        target["facts/sha256"][number] = np.frombuffer(image.sha256, np.uint8)
        target["facts/reason"][number] = image.failed
        target["failed"][number] = True


def _export_row(store: FeatureStore, row: int, target: Array) -> None:
    maps = {size: store.map(row, size) for size in store.spec.map_sizes}
    for y, x, tile in dense_tiles(store.spec, maps, target.chunks):
        target[row, y, x] = tile


def dense_tiles(
    spec: FeatureSpec, maps: Mapping[str, NDArray[np.float16]], chunks: tuple[int, ...]
) -> Iterator[tuple[slice, slice, NDArray[np.float16]]]:
    """Yield the vectors of a row, chunk by chunk: lines, columns, array of shape (h, w, D)."""
    height, width = spec.row_shape
    _, tile_height, tile_width, dims = chunks
    for top in range(0, height, tile_height):
        for left in range(0, width, tile_width):
            y = range(top, min(top + tile_height, height))
            x = range(left, min(left + tile_width, width))
            vectors = feature_vectors(spec, maps.__getitem__, rectangle(y, x))
            tile = vectors.astype(np.float16).reshape(len(y), len(x), dims)
            yield slice(y.start, y.stop), slice(x.start, x.stop), tile
