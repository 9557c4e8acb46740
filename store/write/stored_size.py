"""Estimate the size of a store on disk, by encoding some features in memory.

It does not follow from the spec: how well float16 activations compress depends on the network and
on the images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from ..format.keys import remove_folder
from ..format.layout import DENSE, Header, array_layouts, create_store, open_arrays, put_header
from ..geometry import plan_tiles
from ..spec import FeatureSpec
from .dense import dense_codec, dense_tiles
from .planning import PlannedImage
from .writer import FeatureWriter

__all__ = ["MeasuringWriter", "dense_row_bytes"]


class _MemoryGroup:
    """A Zarr group in memory that counts the bytes of its keys."""

    def __init__(self) -> None:
        self._data: dict[str, Buffer] = {}
        self.store = MemoryStore(self._data)
        self.group = zarr.open_group(self.store, mode="a", zarr_format=3)

    def bytes_under(self, folder: str = "") -> int:
        """Return the bytes of all keys under a folder: the sizes of the files they would be."""
        return sum(len(value) for key, value in list(self._data.items()) if key.startswith(folder))

    def pop_bytes(self, folder: str) -> int:
        """Remove all keys under a folder; return their bytes."""
        n_bytes = self.bytes_under(f"{folder}/")
        remove_folder(self.store, folder)
        return n_bytes


class MeasuringWriter(FeatureWriter):
    """A `FeatureWriter` that encodes rows in memory and keeps only how many bytes each took.

    Parameters
    ----------
    spec : FeatureSpec
    codec : str
    images : sequence of PlannedImage
        The images that may be written; the index is the image's number.

    Attributes
    ----------
    row_bytes : list of int
        Of the rows written so far.
    """

    def __init__(self, spec: FeatureSpec, codec: str, images: Sequence[PlannedImage]) -> None:
        geometries = [plan_tiles(i.size, spec.row_shape, spec.fit, spec.overlap) for i in images]
        counts = np.array([len(geometry.offsets) for geometry in geometries], np.int64)
        header = Header(spec, codec, len(images), int(counts.sum()))
        self.path, self.row_bytes = Path("memory"), list[int]()
        self._memory = _MemoryGroup()
        create_store(self._memory.group, header)
        arrays = open_arrays(self._memory.group, header, "a store in memory")
        arrays["images/name"][:] = np.array([image.name for image in images], dtype=object)
        arrays["images/size"][:] = np.array([geometry.size for geometry in geometries])
        arrays["images/resized"][:] = np.array([geometry.resized for geometry in geometries])
        arrays["images/first_row"][:] = counts.cumsum() - counts
        arrays["images/row_count"][:] = counts
        arrays["rows/image"][:] = np.repeat(np.arange(len(images)), counts)
        arrays["rows/offset"][:] = np.array([o for g in geometries for o in g.offsets])
        put_header(self._memory.group, header)
        self._empty_bytes = self._memory.bytes_under()
        self._n_finished = 0
        self._use(self._memory.group)

    def write_row(self, image: int, row: int, maps: Mapping[str, NDArray[np.float16]]) -> None:
        """Encode one row, record its size, and drop it."""
        super().write_row(image, row, maps)
        number = int(self._first_row[image]) + row
        folders = (f"{kind}/{size}/c/{number}" for kind in ("features", "scales") for size in maps)
        self.row_bytes.append(sum(self._memory.pop_bytes(folder) for folder in folders))

    def finish_image(
        self,
        image: int,
        *,
        sha256: bytes,
        nonfinite: NDArray[np.integer],
        clipped: NDArray[np.integer],
    ) -> None:
        """Write the facts of an image; rows may be missing, for a probe writes only some."""
        self._written[image] = set(range(self._count(image)))
        super().finish_image(image, sha256=sha256, nonfinite=nonfinite, clipped=clipped)
        self._n_finished += 1

    def store_bytes(self, images: int, rows: int, row_bytes: float | None = None) -> int:
        """Return the bytes of a new store, if its images are like those written to this one.

        Parameters
        ----------
        images, rows : int
            Numbers of that store.
        row_bytes : float, optional
            Bytes of a row; by default the mean of the rows written (at least one).
        """
        facts = (self._memory.bytes_under() - self._empty_bytes) / max(1, self._n_finished)
        per_row_bytes = float(np.mean(self.row_bytes)) if row_bytes is None else row_bytes
        return int(self._empty_bytes + images * facts + rows * per_row_bytes)


def dense_row_bytes(spec: FeatureSpec, codec: str, maps: Mapping[str, NDArray[np.float16]]) -> int:
    """Return the bytes of a row in a dense export of a store with this codec.

    Parameters
    ----------
    spec : FeatureSpec
    codec : str
    maps : mapping from map size to float16 array of shape (C, h, w)
    """
    memory, name = _MemoryGroup(), "features/dense"
    layout = array_layouts(Header(spec, dense_codec(codec), 0, 1, DENSE))[name]
    array, n_bytes = layout.create(memory.group, name), 0
    for y, x, tile in dense_tiles(spec, maps, array.chunks):
        array[0, y, x] = tile
        n_bytes += memory.pop_bytes(f"{name}/c")
    return n_bytes
