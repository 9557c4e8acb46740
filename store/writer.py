"""Write a feature store, in two phases.

**Plan**, by one process at a time: enter the images in the tables and give every array its length.
**Work**, by any number of threads and processes, each with images of its own: write an image's
chunks, then its facts, then its `complete` flag. A run may be killed anywhere and started again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from .codecs import DEFAULT_CODEC, codec_named, quantise
from .errors import InputError, SpecMismatchError, StoreError
from .geometry import Geometry, plan_rows
from .keys import exclusive, exists, remove_folder
from .layout import (
    DENSE,
    Array,
    Header,
    array_layouts,
    open_arrays,
    open_group,
    read_header,
    started_attributes,
    stem_of,
)
from .spec import FeatureSpec

__all__ = ["FeatureWriter", "Plan", "PlannedImage", "plan_store"]

Size = tuple[int, int]


@dataclass(frozen=True)
class PlannedImage:
    """An image that shall be in the store.

    Parameters
    ----------
    name : str
        Path within the images' folder, with "/" and with extension.
    size : tuple of int
        Height and width, as it is shown (turned by its EXIF orientation).
    """

    name: str
    size: Size

    @property
    def stem(self) -> str:
        """The name without extension; by it label maps and masks find the image."""
        return stem_of(self.name)


@dataclass(frozen=True)
class Plan:
    """What planning did.

    Parameters
    ----------
    indices : mapping of name to image number
        Of the images asked for.
    vanished : tuple of str
        Images in the store that were not asked for; they stay as they are.
    created : bool
        Whether the store is new.
    """

    indices: Mapping[str, int]
    vanished: tuple[str, ...]
    created: bool


def plan_store(
    path: str | Path,
    spec: FeatureSpec,
    images: Sequence[PlannedImage],
    *,
    codec: str = DEFAULT_CODEC,
) -> Plan:
    """Make room for images in a store; create the store if there is none.

    Images new to it get numbers and rows at the end. An image whose size has changed loses its
    flags and is to be extracted again; its rows are new ones if their number changed.

    Parameters
    ----------
    path : str or Path
        A folder; absent, empty, or a feature store.
    spec : FeatureSpec
    images : sequence of PlannedImage
    codec : str
        Name of the compression; a store that exists keeps its own.

    Raises
    ------
    InputError
        If two images have one name or stem, the codec is unknown, or the folder holds other files.
    SpecMismatchError
        If the store has another recipe; names the differences.
    StoreError
        If the store is damaged, or another process holds its plan lock.
    """
    _refuse_twins(images)
    codec_named(codec)
    folder = Path(path)
    _refuse_foreign(folder)
    store = LocalStore(folder)
    planned = _open_planned(folder, spec)
    if planned and not planned.missing(images):
        return planned.summary(images, created=False)  # nothing to do, so no lock
    with exclusive(store):
        created = _open_planned(folder, spec) is None
        if created:
            _create(store, spec, codec)
        book = _Book(folder)
        book.extend(images)
    return _Book(folder).summary(images, created=created)


def _refuse_twins(images: Sequence[PlannedImage]) -> None:
    seen: dict[str, str] = {}
    for image in images:
        if image.stem in seen:
            raise InputError(
                f"images '{seen[image.stem]}' and '{image.name}' have one name but for the "
                "extension, so labels and masks cannot tell them apart: rename one"
            )
        seen[image.stem] = image.name


def _refuse_foreign(folder: Path) -> None:
    """Refuse to write among files that are not ours."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file: give a folder for the feature store")
    if not folder.is_dir() or exists(LocalStore(folder), "zarr.json"):
        return
    others = [entry.name for entry in folder.iterdir() if not entry.name.startswith("plan.")]
    if others:
        raise InputError(
            f"'{folder}' is not a feature store, but holds '{others[0]}': "
            "give a new or an empty folder"
        )


def _open_planned(folder: Path, spec: FeatureSpec) -> "_Book | None":
    """Open a store's tables; None if there is no store, or one not planned to the end."""
    if not exists(LocalStore(folder), "zarr.json"):
        return None
    group = open_group(folder)
    attributes = group.attrs.asdict()
    if "spec" not in attributes and attributes == started_attributes():
        return None
    header = read_header(group, f"'{folder}'")
    if header.layout == DENSE:
        raise InputError(
            f"'{folder}' is a dense export, which cannot be extended: give a new folder"
        )
    if header.spec.hash != spec.hash:
        raise SpecMismatchError(
            f"the store '{folder}' was extracted by another recipe: "
            + "; ".join(header.spec.differences(spec))
            + " ('here' is the store, 'there' what you asked for). "
            "Ask for the same, or give another folder"
        )
    return _Book(folder)


def _create(store: LocalStore, spec: FeatureSpec, codec: str) -> None:
    """Create an empty store; the attributes that make it readable come last."""
    group = zarr.open_group(store, mode="a", zarr_format=3, attributes=started_attributes())
    for name, layout in array_layouts(spec, codec_named(codec), 0, 0).items():
        layout.create(group, name)
    starts = dict.fromkeys(spec.map_sizes, 0)
    columns: dict[str, list[Any]] = {
        key: [] for key in ("timestep", "block", "array", "first_channel", "channels")
    }
    for layer in spec.layers:
        columns["timestep"].append(layer.timestep)
        columns["block"].append(layer.block)
        columns["array"].append(layer.map_size)
        columns["first_channel"].append(starts[layer.map_size])
        columns["channels"].append(layer.channels)
        starts[layer.map_size] += layer.channels
    columns["first_feature"] = list(spec.offsets[:-1])
    for key, column in columns.items():
        _array(group, f"layers/{key}")[:] = np.array(
            column, dtype=object if key == "array" else np.int32
        )
    group.attrs.put(Header(spec, codec, 0, 0).to_attributes())


def _array(group: zarr.Group, name: str) -> Array:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise StoreError(f"'{name}' is a group where an array should be")
    return array


class _Book:
    """The tables of a store while it is planned."""

    def __init__(self, folder: Path) -> None:
        self.where = f"'{folder}'"
        self.group = open_group(folder, write=True)
        self.header = read_header(self.group, self.where)
        self.arrays = open_arrays(self.group, self.header, self.where)
        n = self.header.images
        self.names = [str(name) for name in np.asarray(self.arrays["images/name"][:n])]
        self.sizes = np.asarray(self.arrays["images/size"][:n])
        self.numbers = {name: i for i, name in enumerate(self.names)}

    def missing(self, images: Sequence[PlannedImage]) -> bool:
        """Whether some images are new, or have another size than the tables say."""
        return bool(self._new(images) or self._changed(images))

    def summary(self, images: Sequence[PlannedImage], *, created: bool) -> Plan:
        wanted = {image.name for image in images}
        return Plan(
            {image.name: self.numbers[image.name] for image in images},
            tuple(name for name in self.names if name not in wanted),
            created,
        )

    def extend(self, images: Sequence[PlannedImage]) -> None:
        """Enter new and changed images. Each step can be repeated after a kill at any point."""
        new, changed = self._new(images), self._changed(images)
        geometries = [self._geometry(image) for image in (*new, *changed)]
        for image in changed:
            for flag in ("complete", "failed"):
                self.arrays[flag][self.numbers[image.name]] = False
        numbers = [*range(self.header.images, self.header.images + len(new))]
        numbers += [self.numbers[image.name] for image in changed]
        firsts, total = self._place(numbers, geometries)
        self._resize(self.header.images + len(new), total)
        self._write_rows(numbers, firsts, geometries)
        self._write_images((*new, *changed), numbers, firsts, geometries)
        header = replace(self.header, images=self.header.images + len(new), rows=total)
        self.group.attrs.put(header.to_attributes())

    def _new(self, images: Sequence[PlannedImage]) -> list[PlannedImage]:
        return [image for image in images if image.name not in self.numbers]

    def _changed(self, images: Sequence[PlannedImage]) -> list[PlannedImage]:
        return [
            image
            for image in images
            if image.name in self.numbers
            and tuple(self.sizes[self.numbers[image.name]]) != image.size
        ]

    def _geometry(self, image: PlannedImage) -> Geometry:
        spec = self.header.spec
        return plan_rows(image.size, spec.row_shape, spec.fit, spec.overlap)

    def _place(self, numbers: list[int], geometries: list[Geometry]) -> tuple[list[int], int]:
        """Return the first row of each image, and how many rows the store then has."""
        first_row, row_count = self.arrays["images/first_row"], self.arrays["images/row_count"]
        total, firsts = self.header.rows, []
        for number, geometry in zip(numbers, geometries, strict=True):
            count = len(geometry.offsets)
            if number < self.header.images and int(row_count[number]) == count:  # type: ignore[arg-type]
                firsts.append(int(first_row[number]))  # type: ignore[arg-type]
            else:
                firsts.append(total)
                total += count
        return firsts, total

    def _resize(self, images: int, rows: int) -> None:
        layouts = array_layouts(self.header.spec, codec_named(self.header.codec), images, rows)
        for name, layout in layouts.items():
            if self.arrays[name].shape != layout.shape:
                self.arrays[name].resize(layout.shape)

    def _write_rows(
        self, numbers: list[int], firsts: list[int], geometries: list[Geometry]
    ) -> None:
        """Enter the rows of images; rows that an image has given up belong to none."""
        owner = np.asarray(self.arrays["rows/image"][:])
        offset = np.asarray(self.arrays["rows/offset"][:])
        for number, first, geometry in zip(numbers, firsts, geometries, strict=True):
            owner[owner == number] = -1
            rows = slice(first, first + len(geometry.offsets))
            owner[rows] = number
            offset[rows] = geometry.offsets
        self.arrays["rows/image"][:] = owner
        self.arrays["rows/offset"][:] = offset

    def _write_images(
        self,
        images: Sequence[PlannedImage],
        numbers: list[int],
        firsts: list[int],
        geometries: list[Geometry],
    ) -> None:
        """Enter images; the size comes last, for by it a change is noticed."""
        columns: dict[str, list[Any]] = {
            "images/name": [image.name for image in images],
            "images/first_row": firsts,
            "images/row_count": [len(geometry.offsets) for geometry in geometries],
            "images/resized": [geometry.resized for geometry in geometries],
            "images/size": [geometry.size for geometry in geometries],
        }
        for name, column in columns.items():
            table = np.asarray(self.arrays[name][:])
            for number, value in zip(numbers, column, strict=True):
                table[number] = value
            self.arrays[name][:] = table


class FeatureWriter:
    """Write images into a planned store, whole or not at all.

    Safe for several threads and processes at once as long as each image has one writer.

    Parameters
    ----------
    path : str or Path
        A store that `plan_store` has planned.

    Attributes
    ----------
    spec : FeatureSpec

    Raises
    ------
    InputError, StoreError
        If there is no store, or it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        where = f"'{self.path}'"
        group = open_group(self.path, write=True)
        header = read_header(group, where)
        if header.layout == DENSE:
            raise InputError(f"{where} is a dense export, which cannot be extended")
        self.spec = header.spec
        self._codec = codec_named(header.codec)
        self._store = group.store
        self._arrays = open_arrays(group, header, where)
        n = header.images
        self._names = [str(name) for name in np.asarray(self._arrays["images/name"][:n])]
        self._first_row = np.asarray(self._arrays["images/first_row"][:n])
        self._row_count = np.asarray(self._arrays["images/row_count"][:n])

    def is_current(self, image: int, sha256: bytes) -> bool:
        """Say whether an image is complete, and was extracted from the file of this sha256."""
        if not exists(self._store, f"complete/c/{image}"):
            return False
        return bytes(np.asarray(self._arrays["facts/sha256"][image])) == sha256

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
            One mapping a row; channels of ``spec.layers_of(map_size)`` side by side.
        sha256 : bytes of length 32
            Of the image file.
        nonfinite, clipped : integer arrays of shape (layers,)
            How many values of each layer were not finite, or were clipped to float16's range.

        Raises
        ------
        InputError
            If the number of rows, or a map's name, shape or dtype is not what the spec says.
        StoreError
            If the codec is uint8 and a value is not finite.
        """
        self._check(image, rows, sha256)
        self._clear(image)
        first = int(self._first_row[image])
        for row, maps in enumerate(rows, start=first):
            for size, activation in maps.items():
                self._write_map(image, row, size, activation)
        self._arrays["facts/sha256"][image] = np.frombuffer(sha256, dtype=np.uint8)
        self._arrays["facts/nonfinite"][image] = np.asarray(nonfinite, dtype=np.int64)
        self._arrays["facts/clipped"][image] = np.asarray(clipped, dtype=np.int64)
        self._arrays["complete"][image] = True

    def fail_image(self, image: int, reason: str, sha256: bytes | None = None) -> None:
        """Record that an image could not be extracted, and why.

        Parameters
        ----------
        image : int
        reason : str
            For the reader of the report.
        sha256 : bytes of length 32, optional
            Of the image file, if it could be read.
        """
        self._check_number(image)
        self._clear(image)
        if sha256 is not None:
            self._arrays["facts/sha256"][image] = np.frombuffer(sha256, dtype=np.uint8)
        self._arrays["facts/reason"][image] = reason
        self._arrays["failed"][image] = True

    def _clear(self, image: int) -> None:
        """Clear an image's flags, then remove what an earlier or a killed run left of its rows."""
        for flag in ("complete", "failed"):
            if exists(self._store, f"{flag}/c/{image}"):
                self._arrays[flag][image] = False
        first = int(self._first_row[image])
        for row in range(first, first + int(self._row_count[image])):
            for size in self.spec.map_sizes:
                remove_folder(self._store, f"features/{size}/c/{row}")

    def _write_map(self, image: int, row: int, size: str, activation: NDArray[np.float16]) -> None:
        if not self._codec.quantised:
            self._arrays[f"features/{size}"][row] = activation
            return
        if not np.isfinite(activation).all():
            raise StoreError(
                f"image '{self._names[image]}' has values that are not finite in its maps of "
                f"{size}, which the codec uint8 cannot hold: use lz4, zstd or none"
            )
        levels, scales = quantise(activation)
        self._arrays[f"features/{size}"][row] = levels
        self._arrays[f"scales/{size}"][row] = scales

    def _check_number(self, image: int) -> None:
        if not 0 <= image < len(self._names):
            raise InputError(
                f"the store '{self.path}' has no image number {image}, only 0 to "
                f"{len(self._names) - 1}: plan it first"
            )

    def _check(
        self, image: int, rows: Sequence[Mapping[str, NDArray[np.float16]]], sha256: bytes
    ) -> None:
        self._check_number(image)
        count = int(self._row_count[image])
        if len(rows) != count:
            raise InputError(
                f"image '{self._names[image]}' has {count} rows in the store, but {len(rows)} came"
            )
        if len(sha256) != 32:
            raise InputError(f"a sha256 has 32 bytes; got {len(sha256)}")
        for maps in rows:
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
