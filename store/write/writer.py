"""Write a feature store, in two phases.

**Plan**, by one process at a time: enter the images in the tables and give every array its length;
see `dseg.store.write.planning`.
**Work**, by any number of threads and processes, each with images of its own: write an image's
chunks, then its facts, then its `complete` flag. A run may be killed anywhere and started again.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import ChunkCorruptError, InputError, StoreError
from ..format.codecs import codec_named, stored_arrays
from ..format.keys import exists, list_numbers, remove_folder
from ..format.layout import DENSE, PER_IMAGE_ARRAYS, open_arrays, open_group, read_header
from ..read.tables import read_entries, read_table
from ..urls.location import Location, UrlPath, location
from .chunks import ChunkWriter
from .planning import Plan, PlannedImage, plan_store

__all__ = ["FeatureWriter", "Plan", "PlannedImage", "plan_store"]


class FeatureWriter:
    """Writes images into a planned store; an image becomes visible when it is complete.

    Safe for several threads and processes at once if each image has only one writer.

    Parameters
    ----------
    path : str, Path or UrlPath
        A store that `plan_store` has planned.

    Attributes
    ----------
    spec : FeatureSpec

    Raises
    ------
    InputError, StoreError
        If there is no store, or it is damaged.
    """

    def __init__(self, path: str | Location) -> None:
        self.path = location(path)
        self._use(open_group(self.path, write=True))

    def _use(self, group: zarr.Group) -> None:
        where = f"'{self.path}'"
        header = read_header(group, where)
        if header.layout == DENSE:
            raise InputError(f"{where} is a dense export, which cannot be extended")
        self.spec = header.spec
        self._codec = codec_named(header.codec)
        self._store = group.store
        self._arrays = open_arrays(group, header, where)
        self._chunks = self._chunk_writers()
        entries = read_entries(self._arrays, header, where)
        self._names, self._first_row = entries.names, entries.first_row
        self._inconsistent = entries.inconsistent
        self._row_count = [len(geometry.offsets) for geometry in entries.geometries]
        self._written: dict[int, set[int]] = {}  # rows of images that were started
        self._flagged = self._flags_by_url(header.images)

    def _flags_by_url(self, images: int) -> set[str] | None:
        """Return the keys of all flags; None of a local store, where looking for one is quick.

        They stay right while this writes: no other writer has the same images.
        """
        if not isinstance(self.path, UrlPath):
            return None
        flags = ("complete", "failed")
        numbers = {flag: list_numbers(self._store, f"{flag}/c", images) for flag in flags}
        return {f"{flag}/c/{number}" for flag in flags for number in numbers[flag]}

    def _has_flag(self, flag: str, image: int) -> bool:
        key = f"{flag}/c/{image}"
        return exists(self._store, key) if self._flagged is None else key in self._flagged

    def _note_flag(self, flag: str, image: int) -> None:
        if self._flagged is not None:
            self._flagged.add(f"{flag}/c/{image}")

    def _chunk_writers(self) -> dict[str, ChunkWriter]:
        """Return what writes the arrays of which each image or row has chunks of its own."""
        facts = ("facts/sha256", "facts/nonfinite", "facts/clipped", "complete")
        found = {name: ChunkWriter(self._store, name, self._arrays[name]) for name in facts}
        for name, array in self._arrays.items():
            if name.startswith("features/"):
                found[name] = ChunkWriter(self._store, name, array, self._codec)
            elif name.startswith("scales/"):
                found[name] = ChunkWriter(self._store, name, array)
        return found

    def is_current(self, image: int, sha256: bytes) -> bool:
        """Whether an image is complete and was extracted from the file with this sha256.

        False also if the stored sha256 is damaged, or if the image is flagged as failed, too.
        """
        if self._has_flag("failed", image) or not self._has_flag("complete", image):
            return False
        stored = self._chunks["facts/sha256"].holds(image, np.frombuffer(sha256, np.uint8))
        if stored and self._chunks["complete"].holds(image, np.array(True)):
            return True  # in a tenth of the time that zarr takes, or less
        try:
            complete = bool(read_table(self._arrays["complete"], image))
            return complete and bytes(read_table(self._arrays["facts/sha256"], image)) == sha256
        except ChunkCorruptError:
            return False

    def mark_incomplete(self, image: int) -> None:
        """Clear the `complete` flag of an image that is to be written again."""
        self._count(image)
        self._arrays["complete"][image] = False

    def forget_image(self, image: int) -> None:
        """Remove all that the store has of an image but its entry: it is to be extracted anew."""
        self._count(image)
        self._clear(image)
        for name in self._arrays:
            if name.startswith(PER_IMAGE_ARRAYS):  # flags, too, that cannot be read
                remove_folder(self._store, f"{name}/c/{image}")

    def write_image(
        self,
        image: int,
        rows: Sequence[Mapping[str, NDArray[np.float16]]],
        *,
        sha256: bytes,
        nonfinite: NDArray[np.integer],
        clipped: NDArray[np.integer],
    ) -> None:
        """Write all rows of an image, its facts, and then its `complete` flag.

        Parameters
        ----------
        image : int
            Its number, from `Plan.indices`.
        rows : sequence of mappings from map size to float16 array of shape (C, h, w)
            One mapping for each row; channels of ``spec.layers_of(map_size)`` concatenated.
        sha256 : bytes of length 32
            Of the image file.
        nonfinite, clipped : integer arrays of shape (layers,)
            Values of each layer that were not finite, or were clipped to float16's range.

        Raises
        ------
        InputError
            If the number of rows, or a map's name, shape or dtype is not what the spec says.
        StoreError
            If the codec is uint8 and a value is not finite.
        """
        count = self._count(image)
        if len(rows) != count:
            raise InputError(
                f"image '{self._names[image]}' has {count} rows in the store, but "
                f"{len(rows)} were given"
            )
        self._check_sha256(sha256)
        for maps in rows:
            self._check_maps(maps)
        self.start_image(image)
        for row, maps in enumerate(rows):
            self.write_row(image, row, maps)
        self.finish_image(image, sha256=sha256, nonfinite=nonfinite, clipped=clipped)

    def start_image(self, image: int) -> None:
        """Begin an image that is written row by row, so that memory need not hold all its rows.

        Removes what the store has of it; it is complete after `finish_image`.
        """
        self._count(image)
        self._clear(image)
        self._written[image] = set()

    def write_row(self, image: int, row: int, maps: Mapping[str, NDArray[np.float16]]) -> None:
        """Write one row of an image that was started.

        Parameters
        ----------
        image : int
        row : int
            Number of the row within the image.
        maps : mapping from map size to float16 array of shape (C, h, w)

        Raises
        ------
        InputError, StoreError
            As `write_image`.
        """
        if not 0 <= row < self._count(image):
            raise InputError(
                f"image '{self._names[image]}' has {self._count(image)} rows in the store, so no "
                f"row number {row}"
            )
        self._check_maps(maps)
        for size, activation in maps.items():
            self._write_map(image, int(self._first_row[image]) + row, size, activation)
        self._written[image].add(row)

    def finish_image(
        self,
        image: int,
        *,
        sha256: bytes,
        nonfinite: NDArray[np.integer],
        clipped: NDArray[np.integer],
    ) -> None:
        """Write the facts of an image whose rows are all written, and then its `complete` flag.

        Raises
        ------
        InputError
            If a row is missing.
        """
        self._check_sha256(sha256)
        written = len(self._written.get(image, ()))
        if written != self._count(image):
            raise InputError(
                f"image '{self._names[image]}' has {self._count(image)} rows in the store, but "
                f"{written} were written"
            )
        self._chunks["facts/sha256"].write(image, np.frombuffer(sha256, dtype=np.uint8))
        self._chunks["facts/nonfinite"].write(image, np.asarray(nonfinite, dtype=np.int64))
        self._chunks["facts/clipped"].write(image, np.asarray(clipped, dtype=np.int64))
        self._chunks["complete"].write(image, np.array(True))
        self._note_flag("complete", image)
        del self._written[image]

    def fail_image(self, image: int, reason: str, sha256: bytes | None = None) -> None:
        """Record that an image could not be extracted, and why.

        Parameters
        ----------
        image : int
        reason : str
            For the user.
        sha256 : bytes of length 32, optional
            Of the image file, if it could be read.
        """
        self._count(image)
        self._clear(image)
        if sha256 is not None:
            self._arrays["facts/sha256"][image] = np.frombuffer(sha256, dtype=np.uint8)
        self._arrays["facts/reason"][image] = reason
        self._arrays["failed"][image] = True
        self._note_flag("failed", image)

    def _clear(self, image: int) -> None:
        """Clear the flags of an image, then remove the chunks of its rows.

        In this order: a kill in between leaves an incomplete image, not a complete one without
        chunks.
        """
        if self._has_flag("complete", image):
            self._arrays["complete"][image] = False
        if self._has_flag("failed", image):
            self._arrays["failed"][image] = False
            self._arrays["facts/reason"][image] = ""
        if self._flagged is not None:  # by URL a chunk is replaced as a whole, never cut off
            self._flagged -= {f"complete/c/{image}", f"failed/c/{image}"}
            return
        first = int(self._first_row[image])
        for row in range(first, first + int(self._row_count[image])):
            for size in self.spec.map_sizes:
                remove_folder(self._store, f"features/{size}/c/{row}")
                if self._codec.quantised:
                    remove_folder(self._store, f"scales/{size}/c/{row}")

    def _write_map(self, image: int, row: int, size: str, activation: NDArray[np.float16]) -> None:
        if self._codec.quantised and not np.isfinite(activation).all():
            raise StoreError(
                f"image '{self._names[image]}' has values that are not finite in its maps of "
                f"{size}, which the codec uint8 cannot store: use lz4, zstd or none"
            )
        for name, values in stored_arrays(self._codec, size, activation).items():
            self._chunks[name].write(row, values)

    def _count(self, image: int) -> int:
        """Return how many rows an image has."""
        if not 0 <= image < len(self._names):
            raise InputError(
                f"the store '{self.path}' has no image number {image}, only 0 to "
                f"{len(self._names) - 1}: plan it first"
            )
        if image in self._inconsistent:
            raise StoreError(
                f"image '{self._names[image]}' of '{self.path}' has no rows yet, because "
                "planning was interrupted: repeat the same extract command"
            )
        return self._row_count[image]

    @staticmethod
    def _check_sha256(sha256: bytes) -> None:
        if len(sha256) != 32:
            raise InputError(f"a sha256 has 32 bytes; got {len(sha256)}")

    def _check_maps(self, maps: Mapping[str, NDArray[np.float16]]) -> None:
        if set(maps) != set(self.spec.map_sizes):
            raise InputError(
                f"a row has maps of {', '.join(self.spec.map_sizes)}; got {', '.join(maps)}"
            )
        for size, activation in maps.items():
            expected = self._arrays[f"features/{size}"].shape[1:]
            if activation.dtype != np.float16 or activation.shape != expected:
                raise InputError(
                    f"maps of {size} must be float16 {expected}; got {activation.dtype} "
                    f"{activation.shape}"
                )
