"""Read a feature store: maps, feature vectors of pixels, and both as Dask arrays.

A chunk is always read whole, and pixels are gathered from it in memory: zarr decompresses the whole
chunk for a single pixel, too.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any, Self

import dask.array
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import VERIFY, ChunkCorruptError, InputError, StoreError
from ..format.bounds import check_unpacked
from ..format.codecs import codec_named, dequantise
from ..format.keys import exists
from ..format.layout import DENSE, NO_IMAGE, Array, Header, open_arrays, open_group, read_header
from ..names import composed
from ..spec import FeatureSpec, LayerSpec
from ..urls.location import Location, location
from .image_tables import StoredImage, read_images
from .interpolation import feature_vectors, rectangle
from .tables import read_table

__all__ = ["FeatureStore", "StoredImage"]

BAND_BYTES = 2**27
_OF_COMPLETE = ("complete", "facts/sha256", "facts/nonfinite", "facts/clipped")
_OF_FAILED = ("failed", "facts/reason")


class FeatureStore:
    """A feature store, opened for reading by `FeatureStore.open`.

    Which images are complete is read on opening. Safe for several threads. Pickled as its
    path: another process opens the store again.

    Attributes
    ----------
    path : Path or UrlPath
    spec : FeatureSpec
    codec : str
        Name of the compression.
    images : tuple of StoredImage
    """

    def __init__(self, path: Location, header: Header, arrays: dict[str, Array]) -> None:
        self.path = path
        self.spec: FeatureSpec = header.spec
        self.codec = header.codec
        self._header = header
        self._arrays = arrays
        self.images = read_images(arrays, header, f"'{path}'")
        self._by_name = {image.stem: image for image in self.images}
        self._by_name |= {composed(image.name): image for image in self.images}

    @classmethod
    def open(cls, path: str | Location) -> Self:
        """Open a store.

        Raises
        ------
        InputError
            If the folder does not exist, or is a dense export.
        StoreError
            If it is no feature store, is of another version, or is damaged.
        """
        folder, where = location(path), f"'{path}'"
        group = open_group(folder)
        header = read_header(group, where)
        if header.layout == DENSE:
            raise InputError(
                f"{where} is a dense export for other programs: give the store that it was "
                "exported from"
            )
        return cls(folder, header, open_arrays(group, header, where))

    def __reduce__(self) -> tuple[Callable[..., "FeatureStore"], tuple[Any, ...]]:
        n_complete = sum(image.complete for image in self.images)
        path = self.path.absolute()  # the other process may run in another folder
        # What changes between two openings belongs to the key of the cache in `_open_once`: a
        # worker must not go on with a store that was extended since.
        return _open_once, (path, self.spec.hash, len(self.images), self.n_rows, n_complete)

    def __repr__(self) -> str:
        return (
            f"FeatureStore('{self.path}', images={len(self.images)}, rows={self.n_rows}, "
            f"dims={self.spec.dims})"
        )

    @property
    def where(self) -> str:
        """The path, in quotes for a message."""
        return f"'{self.path}'"

    @property
    def chunk_bytes(self) -> int:
        """The most bytes that `map` reads at a time: of the largest map size, in float16."""
        return max(map(self.spec.map_bytes, self.spec.map_sizes))

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers, in feature order."""
        return self.spec.layers

    @property
    def n_rows(self) -> int:
        """How many rows are planned."""
        return self._header.rows

    def image(self, which: int | str) -> StoredImage:
        """Return an image by its number, name or stem.

        Raises
        ------
        InputError
            If there is none.
        """
        if isinstance(which, str):
            if composed(which) not in self._by_name:
                raise InputError(f"{self.where} has no image '{which}'")
            return self._by_name[composed(which)]
        if not 0 <= which < len(self.images):
            raise InputError(f"{self.where} has {len(self.images)} images, so no number {which}")
        return self.images[which]

    def rows(self, image: int | str) -> range:
        """Return the rows of an image, given by its number, name or stem."""
        found = self.image(image)
        return range(found.first_row, found.first_row + found.row_count)

    def image_of(self, row: int) -> StoredImage:
        """Return the image that a row belongs to.

        Raises
        ------
        InputError
            If there is no such row, or it belongs to no image any more.
        """
        if not 0 <= row < self.n_rows:
            raise InputError(f"{self.where} has {self.n_rows} rows, so no row {row}")
        number = int(self._image_of[row])
        if number == NO_IMAGE:
            raise InputError(f"row {row} of {self.where} no longer belongs to an image")
        return self.images[number]

    def map(self, row: int, map_size: str) -> NDArray[np.float16]:
        """Return all activations of one map size in a row.

        Parameters
        ----------
        row : int
        map_size : str
            "<height>x<width>".

        Returns
        -------
        float16 array of shape (C, h, w)
            Channels of ``spec.layers_of(map_size)`` side by side.

        Raises
        ------
        InputError
            If there is no such row or map size.
        StoreError
            If the row's image is not complete.
        ChunkCorruptError
            If a chunk is missing or does not match its checksum.
        """
        channels, _, _ = self._map_shape(map_size)
        return self._read(row, map_size, slice(0, channels))

    def activations(self, row: int, step: int | None, block: int) -> NDArray[np.float16]:
        """Return one layer's activation in a row.

        Parameters
        ----------
        row : int
        step : int or None
            Timestep; None of a network that takes no noise.
        block : int

        Returns
        -------
        float16 array of shape (C, h, w)

        Raises
        ------
        InputError, StoreError, ChunkCorruptError
            As `map` does.
        """
        for number, layer in enumerate(self.layers):
            if (layer.timestep, layer.block) == (step, block):
                return self._read(row, layer.map_size, self.spec.channel_slices[number])
        raise InputError(
            f"{self.where} has no block {block} at step {step}: its steps are "
            f"{list(self.spec.steps)}, its blocks {list(self.spec.blocks)}"
        )

    def array(self, map_size: str) -> dask.array.Array:
        """Return all maps of one size as a Dask array (rows, C, h, w), one chunk a row."""
        shape = self._map_shape(map_size)
        return dask.array.map_blocks(
            _map_block,
            store=self,
            map_size=map_size,
            chunks=((1,) * self.n_rows, *((length,) for length in shape)),
            dtype=np.float16,
            meta=np.empty((0, 0, 0, 0), np.float16),
        )

    def pixels(self, rows: ArrayLike, yx: ArrayLike) -> NDArray[np.float32]:
        """Return the feature vectors of pixels.

        Each map is read once, however many pixels lie in its row.

        Parameters
        ----------
        rows : integer array-like of shape (n,)
        yx : integer array-like of shape (n, 2)
            Row and column of each pixel on the row grid.

        Returns
        -------
        float32 array of shape (n, D)
            In feature order.

        Raises
        ------
        InputError
            If the arrays do not fit each other, or a pixel lies outside.
        StoreError, ChunkCorruptError
            As `map` does.
        """
        rows, yx = np.asarray(rows), np.asarray(yx)
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or yx.shape != (len(rows), 2):
            raise InputError(
                f"rows must be integers of shape (n,) and yx of shape (n, 2); got {rows.dtype} "
                f"{rows.shape} and {yx.shape}"
            )
        vectors = np.empty((len(rows), self.spec.dims), dtype=np.float32)
        for row in np.unique(rows):
            inside = np.flatnonzero(rows == row)
            maps = partial(self.map, int(row))
            vectors[inside] = feature_vectors(self.spec, maps, yx[inside])
        return vectors

    def dense(self) -> dask.array.Array:
        """Return the feature vectors of all pixels, lazily: float32 (rows, H, W, D).

        One chunk is a band of pixel rows of one row, of about 128 MiB.
        """
        height, width = self.spec.row_shape
        band = max(1, min(height, BAND_BYTES // (4 * width * self.spec.dims)))
        bands = (band,) * (height // band) + ((height % band,) if height % band else ())
        return dask.array.map_blocks(
            _dense_block,
            store=self,
            chunks=((1,) * self.n_rows, bands, (width,), (self.spec.dims,)),
            dtype=np.float32,
            meta=np.empty((0, 0, 0, 0), np.float32),
        )

    @cached_property
    def row_keys(self) -> tuple[str, ...]:
        """The chunks of any row: keys with "{}" for its number."""
        return tuple(
            _key(array, chunk)
            for name, array in self._arrays.items()
            if name.startswith(("features/", "scales/"))
            for chunk in range(-(-array.shape[1] // array.chunks[1]))
        )

    def verify(self, image: int | str) -> None:
        """Read every chunk of an image that is complete, or that could not be extracted.

        Raises
        ------
        StoreError
            If a chunk is missing, does not match its checksum, or cannot be read; if the image is
            said to be complete and to have failed.
        """
        found = self.image(image)
        failed = found.failed is not None
        for row in () if failed else self.rows(found.index):
            for size in self.spec.map_sizes:
                self.map(row, size)
        for name in _OF_FAILED if failed else _OF_COMPLETE:
            array = self._arrays[name]
            value = read_table(array, found.index)
            if failed and not exists(array.store, f"{name}/c/{found.index}"):
                raise ChunkCorruptError(f"the key '{name}/c/{found.index}' is missing. {VERIFY}")
            if name in ("complete", "failed") and not value:
                raise ChunkCorruptError(f"its flag '{name}' is not true. {VERIFY}")
        if failed and exists(self._arrays["complete"].store, f"complete/c/{found.index}"):
            raise StoreError(f"it is said to be complete and to have failed. {VERIFY}")

    @cached_property
    def _image_of(self) -> NDArray[np.int64]:
        """Number of each row's image; -1 for rows that an image gave up when its size changed."""
        owner = np.full(self.n_rows, NO_IMAGE, dtype=np.int64)
        for image in self.images:
            owner[image.first_row : image.first_row + image.row_count] = image.index
        return owner

    def _map_shape(self, map_size: str) -> tuple[int, int, int]:
        if map_size not in self.spec.map_sizes:
            raise InputError(
                f"{self.where} has no maps of {map_size}, only {', '.join(self.spec.map_sizes)}"
            )
        return self.spec.map_shape(map_size)

    def _read(self, row: int, size: str, channels: slice) -> NDArray[np.float16]:
        self._check_row(row)
        values = self._chunks(f"features/{size}", row, size, channels)
        if not codec_named(self.codec).quantised:
            return values
        return dequantise(values, self._chunks(f"scales/{size}", row, size, channels))

    def _chunks(self, name: str, row: int, size: str, channels: slice) -> NDArray[Any]:
        """Read channels of a row, chunk by chunk: an error of zarr does not name its chunk."""
        array = self._arrays[name]
        step = array.chunks[1]
        parts = []
        for chunk in range(channels.start // step, -(-channels.stop // step)):
            start, stop = max(channels.start, chunk * step), min(channels.stop, (chunk + 1) * step)
            key = _key(array, chunk).format(row)
            try:
                check_unpacked(array, key)
                part = np.asarray(array[row, start:stop])
                # zarr reads a missing chunk as fill values, without an error. Asked afterwards, and
                # only if it can be so: by URL asking takes as long as reading.
                if _is_fill(part, array.fill_value) and not exists(array.store, key):
                    raise ChunkCorruptError(self._broken(row, size, key, "is missing"))
                parts.append(part)
            except OSError as error:
                problem = f"cannot be read: {error.strerror}"
                raise StoreError(self._broken(row, size, key, problem)) from error
            except (ValueError, RuntimeError) as error:
                problem = "does not match its checksum"
                raise ChunkCorruptError(self._broken(row, size, key, problem)) from error
        return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def _check_row(self, row: int) -> None:
        image = self.image_of(row)
        if image.failed is not None:
            raise StoreError(f"image '{image.name}' could not be extracted: {image.failed}")
        if not image.complete:
            raise StoreError(
                f"image '{image.name}' is not complete in {self.where}: run extract again"
            )

    def _broken(self, row: int, size: str, key: str, problem: str) -> str:
        image = self.images[int(self._image_of[row])]
        members = [self.layers[i] for i in self.spec.layers_of(size)]
        layers = ", ".join(map(str, members))
        return (
            f"image '{image.name}', map size {size} ({layers}): chunk '{key}' of "
            f"{self.where} {problem}. {VERIFY}: it extracts this image again"
        )


@lru_cache(maxsize=8)
def _open_once(path: Location, *state: str | int) -> FeatureStore:
    """Open a store in a process that unpickles it; cached, for every task of a job pickles it."""
    return FeatureStore.open(path)


def _is_fill(values: NDArray[Any], fill: Any) -> bool:
    """Whether the first value is the fill value: else they were read from a chunk."""
    first = values.flat[0] if values.size else fill
    return bool(first == fill or (first != first and fill != fill))  # NaN is not equal to itself


def _key(array: Array, chunk: int) -> str:
    """Return the key of a chunk of channels, with "{}" for the row."""
    return "/".join([array.path, "c", "{}", str(chunk), *["0"] * (array.ndim - 2)])


def _map_block(store: FeatureStore, map_size: str, block_info: Any = None) -> NDArray[np.float16]:
    row = block_info[None]["chunk-location"][0]
    return store.map(row, map_size)[None]


def _dense_block(store: FeatureStore, block_info: Any = None) -> NDArray[np.float32]:
    (row, _), y, x, _ = block_info[None]["array-location"]
    yx = rectangle(range(*y), range(*x))
    vectors = store.pixels(np.full(len(yx), row), yx)
    return vectors.reshape(1, y[1] - y[0], x[1] - x[0], store.spec.dims)
