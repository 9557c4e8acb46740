"""How much features take on disk, found by encoding some of them in memory.

A store's bytes cannot be told from its spec: how far float16 activations compress depends on the
network and on the images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from ..format.keys import remove_folder
from ..format.layout import DENSE, Header, array_layouts, create_store, open_arrays
from ..geometry import plan_rows
from ..spec import FeatureSpec
from .dense import dense_codec, dense_tiles
from .planning import PlannedImage
from .writer import FeatureWriter

__all__ = ["MeasuringWriter", "dense_row_bytes"]


class _Memory:
    """A Zarr group in memory that knows the bytes of its keys."""

    def __init__(self) -> None:
        self._kept: dict[str, Buffer] = {}
        self.store = MemoryStore(self._kept)
        self.group = zarr.open_group(self.store, mode="a", zarr_format=3)

    def bytes_under(self, folder: str = "") -> int:
        """Return the bytes of all keys under a folder, as files would have them."""
        return sum(len(kept) for key, kept in list(self._kept.items()) if key.startswith(folder))

    def take(self, folder: str) -> int:
        """Remove all keys under a folder; return their bytes."""
        found = self.bytes_under(f"{folder}/")
        remove_folder(self.store, folder)
        return found


class MeasuringWriter(FeatureWriter):
    """A `FeatureWriter` of a store that is nowhere: of a row it keeps how many bytes it took.

    Parameters
    ----------
    spec : FeatureSpec
    codec : str
    images : sequence of PlannedImage
        Those that may come; their numbers are their places here.

    Attributes
    ----------
    row_bytes : list of int
        Of the rows written so far.
    """

    def __init__(self, spec: FeatureSpec, codec: str, images: Sequence[PlannedImage]) -> None:
        geometries = [plan_rows(i.size, spec.row_shape, spec.fit, spec.overlap) for i in images]
        counts = np.array([len(geometry.offsets) for geometry in geometries], np.int64)
        header = Header(spec, codec, len(images), int(counts.sum()))
        self.path, self.row_bytes = Path("memory"), list[int]()
        self._memory = _Memory()
        create_store(self._memory.group, header)
        arrays = open_arrays(self._memory.group, header, "a store in memory")
        arrays["images/name"][:] = np.array([image.name for image in images], dtype=object)
        arrays["images/size"][:] = np.array([geometry.size for geometry in geometries])
        arrays["images/resized"][:] = np.array([geometry.resized for geometry in geometries])
        arrays["images/first_row"][:] = counts.cumsum() - counts
        arrays["images/row_count"][:] = counts
        arrays["rows/image"][:] = np.repeat(np.arange(len(images)), counts)
        arrays["rows/offset"][:] = np.array([o for g in geometries for o in g.offsets])
        self._memory.group.attrs.put(header.to_attributes())
        self._empty = self._memory.bytes_under()
        self._finished = 0
        self._use(self._memory.group)

    def write_row(self, image: int, row: int, maps: Mapping[str, NDArray[np.float16]]) -> None:
        """Encode one row, note its bytes, and forget it."""
        super().write_row(image, row, maps)
        number = int(self._first_row[image]) + row
        folders = (f"{kind}/{size}/c/{number}" for kind in ("features", "scales") for size in maps)
        self.row_bytes.append(sum(self._memory.take(folder) for folder in folders))

    def finish_image(
        self,
        image: int,
        *,
        sha256: bytes,
        nonfinite: NDArray[np.integer],
        clipped: NDArray[np.integer],
    ) -> None:
        """Write the facts of an image, of whose rows some may have been left out."""
        self._written[image] = set(range(self._count(image)))
        super().finish_image(image, sha256=sha256, nonfinite=nonfinite, clipped=clipped)
        self._finished += 1

    def store_bytes(self, images: int, rows: int, row_bytes: float | None = None) -> int:
        """Return how many bytes a new store takes, if all is like what was written here.

        Parameters
        ----------
        images, rows : int
            Of that store.
        row_bytes : float, optional
            Of a row; by default the mean of those written, at least one.
        """
        facts = (self._memory.bytes_under() - self._empty) / max(1, self._finished)
        a_row = float(np.mean(self.row_bytes)) if row_bytes is None else row_bytes
        return int(self._empty + images * facts + rows * a_row)


def dense_row_bytes(spec: FeatureSpec, codec: str, maps: Mapping[str, NDArray[np.float16]]) -> int:
    """Return how many bytes a row takes in a dense export of a store of this codec.

    Parameters
    ----------
    spec : FeatureSpec
    codec : str
    maps : mapping from map size to float16 array of shape (C, h, w)
    """
    memory, name = _Memory(), "features/dense"
    layout = array_layouts(Header(spec, dense_codec(codec), 0, 1, DENSE))[name]
    array, found = layout.create(memory.group, name), 0
    for y, x, tile in dense_tiles(spec, maps, array.chunks):
        array[0, y, x] = tile
        found += memory.take(f"{name}/c")
    return found
