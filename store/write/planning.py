"""Plan a store: enter the images in its tables and give every array its length.

One process at a time, under a lock: resizing an array in Zarr rewrites its metadata, which two
processes cannot do at once, so workers never resize. Planning may be killed at any point and run
again: the number of images and rows is in the header, which is written after the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..drawn import Drawn, updated_drawn
from ..errors import InputError, SpecMismatchError, StoreError
from ..format.codecs import DEFAULT_CODEC, codec_named
from ..format.keys import (
    LOCK,
    PARTIAL,
    exists,
    list_folder,
    list_numbers,
    remove_leftovers,
    remove_partials,
)
from ..format.layout import (
    DENSE,
    GROUPS,
    NO_IMAGE,
    Header,
    array_layouts,
    create_store,
    initial_attributes,
    open_arrays,
    open_group,
    put_header,
    read_header,
    zarr_store,
)
from ..geometry import Geometry, plan_tiles
from ..locks import ignore_message, locked
from ..names import composed, stem_of
from ..read.tables import check_layers, read_entries, read_table
from ..spec import FeatureSpec
from ..urls.lease import leased
from ..urls.location import Location, UrlPath, location

__all__ = ["Plan", "PlannedImage", "plan_store", "refuse_foreign"]

PATIENCE = 60.0  # seconds to wait for another process that plans

Size = tuple[int, int]


@dataclass(frozen=True)
class PlannedImage:
    """An image that is to be in the store.

    Parameters
    ----------
    name : str
        Path within the images' folder, with "/" and with extension.
    size : tuple of int
        Height and width, after rotation by its EXIF orientation.
    drawn : Drawn, optional
        Of a synthetic image: where it is from.
    """

    name: str
    size: Size
    drawn: Drawn | None = None

    @property
    def stem(self) -> str:
        """The name without extension; label maps and masks have the same."""
        return stem_of(self.name)


@dataclass(frozen=True)
class Plan:
    """The result of planning.

    Parameters
    ----------
    indices : mapping of name to image number
        Of the images that were passed.
    vanished : tuple of str
        Images in the store that were not passed; they stay unchanged.
    created : bool
        Whether the store is new.
    codec : str
        Name of its compression.
    """

    indices: Mapping[str, int]
    vanished: tuple[str, ...]
    created: bool
    codec: str


def plan_store(
    path: str | Location,
    spec: FeatureSpec,
    images: Sequence[PlannedImage],
    *,
    codec: str = DEFAULT_CODEC,
    say: Callable[[str], None] = ignore_message,
    patience: float = PATIENCE,
) -> Plan:
    """Enter images in a store; create the store if there is none.

    New images get numbers and rows at the end. An image whose size or extension has changed loses
    its flags, so that it is extracted again; it gets new rows if their number has changed.

    Parameters
    ----------
    path : str, Path or UrlPath
        A folder that is missing, empty or a feature store.
    spec : FeatureSpec
    images : sequence of PlannedImage
    codec : str
        Name of the compression; a store that exists keeps its own.
    say : callable
        Called with a message if this waits for another process.
    patience : float
        Seconds to wait.

    Raises
    ------
    InputError
        If two images have one name or stem, the codec is unknown, or the folder holds other files.
    SpecMismatchError
        If the store has another feature spec; names the differences.
    StoreError
        If the store is damaged, or another process holds its plan lock.
    """
    _check_distinct_stems(images)
    codec_named(codec)
    folder = location(path)
    refuse_foreign(folder)
    store = zarr_store(folder)
    planned = _open_planned(folder, spec)
    if planned and not planned.missing(images):
        _remove_stale_locks(folder)
        return planned.summary(images, created=False)  # nothing to do, so no lock
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
    busy = f"'{folder}' is being planned by"
    advice = "Wait until it has finished, then repeat this command"
    with _locked(folder / LOCK, busy, advice, patience=patience, say=say):
        remove_leftovers(store)
        for group in ("", *GROUPS):
            remove_partials(store, group)
        tables = _open_planned(folder, spec)
        created = tables is None
        if tables is None:
            tables = _create(folder, spec, codec)
        if tables.missing(images):
            tables.extend(images)
    return _StoreTables(folder).summary(images, created=created)


def _locked(
    path: Location, busy: str, advice: str, *, patience: float, say: Callable[[str], None]
) -> AbstractContextManager[None]:
    if isinstance(path, Path):
        return locked(path, busy, advice, patience=patience, say=say)
    return leased(path, busy, advice, patience=patience, say=say)


def _remove_stale_locks(folder: Location) -> None:
    """Remove lock files of dead processes, unless another process holds the lock now."""
    if not isinstance(folder, Path):
        return
    store = zarr_store(folder)
    if any(name.startswith(LOCK) for name in list_folder(store, "")):
        with suppress(StoreError, OSError), locked(folder / LOCK, "", ""):
            remove_leftovers(store)


def _check_distinct_stems(images: Sequence[PlannedImage]) -> None:
    seen: dict[str, str] = {}
    for image in images:
        if image.stem in seen:
            raise InputError(
                f"the names of images '{seen[image.stem]}' and '{image.name}' differ only in "
                "the extension or the Unicode form, so their labels and masks would have the same "
                "name: rename one"
            )
        seen[image.stem] = image.name


def refuse_foreign(folder: Location) -> None:
    """Refuse to write among files that are not ours.

    Raises
    ------
    InputError
        If the path is a file, or a folder that holds anything but a Zarr group.
    """
    if isinstance(folder, UrlPath) and not folder.objects.can_write:
        raise InputError(f"'{folder}' can only be read: give another place for the feature store")
    if isinstance(folder, Path) and folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file: give a folder for the feature store")
    store = zarr_store(folder)
    # The first file of a store is the lock, the second the group's zarr.json. A run that was killed
    # in between leaves these and zarr's partial file; older versions left more lock files.
    names = [
        name
        for name in list_folder(store, "")
        if not (name.endswith(PARTIAL) or name.startswith(LOCK))
    ]
    if not names or exists(store, "zarr.json"):
        return
    raise InputError(
        f"'{folder}' is not a feature store, but contains '{min(names)}': give a new or an "
        "empty folder"
    )


def _open_planned(folder: Location, spec: FeatureSpec) -> "_StoreTables | None":
    """Open the tables of a store; None if there is no store, or its creation was interrupted."""
    if not exists(zarr_store(folder), "zarr.json"):
        return None
    group = open_group(folder)
    if group.attrs.asdict() == initial_attributes():
        return None
    header = read_header(group, f"'{folder}'")
    if header.layout == DENSE:
        raise InputError(
            f"'{folder}' is a dense export, which cannot be extended: give a new folder"
        )
    if header.spec.hash != spec.hash:
        raise SpecMismatchError(
            f"the store '{folder}' was extracted with another feature spec: "
            + "; ".join(header.spec.differences(spec, ("the store", "this command")))
            + ". Use the same options, or give another folder"
        )
    return _StoreTables(folder)


def _create(folder: Location, spec: FeatureSpec, codec: str) -> "_StoreTables":
    """Create an empty store; the attributes that make it readable come last."""
    group = zarr.open_group(
        zarr_store(folder), mode="a", zarr_format=3, attributes=initial_attributes()
    )
    header = Header(spec, codec, 0, 0)
    create_store(group, header)
    put_header(group, header)
    return _StoreTables(folder)


class _StoreTables:
    """The tables of a store while it is planned."""

    def __init__(self, folder: Location) -> None:
        self.where = f"'{folder}'"
        self.group = open_group(folder, write=True)
        self.header = read_header(self.group, self.where)
        self.arrays = open_arrays(self.group, self.header, self.where)
        check_layers(self.arrays, self.header, self.where)
        entries = read_entries(self.arrays, self.header, self.where)
        complete = list_numbers(self.group.store, "complete/c", self.header.images)
        entries.check_consistent(complete, self.where)
        self.names, self.inconsistent = entries.names, entries.inconsistent
        self.sizes = [geometry.size for geometry in entries.geometries]
        # By stem: an image that is converted to another format is still the same image.
        self.numbers = {stem_of(name): i for i, name in enumerate(self.names)}

    def missing(self, images: Sequence[PlannedImage]) -> bool:
        """Whether some images are new, or differ from their entries."""
        if self._new(images) or self._changed(images):
            return True
        drawn = self.header.drawn
        return any(image.drawn != drawn.get(self.numbers[image.stem]) for image in images)

    def summary(self, images: Sequence[PlannedImage], *, created: bool) -> Plan:
        """Return the result of planning these images."""
        wanted = {image.stem for image in images}
        return Plan(
            {image.name: self.numbers[image.stem] for image in images},
            tuple(name for name in self.names if stem_of(name) not in wanted),
            created,
            self.header.codec,
        )

    def extend(self, images: Sequence[PlannedImage]) -> None:
        """Enter new and changed images, in an order in which a kill does no harm.

        New images are written beyond the header's count, where nobody reads, and are then counted
        by a new header. Changed images lose their flags first and get their new size last: until
        then the next planning run finds the image changed, and enters it again.
        """
        new, changed = self._new(images), self._changed(images)
        if not new and not changed:
            put_header(self.group, self._with_drawn(self.header, images))
            return
        for image in changed:
            for flag in ("complete", "failed"):
                self.arrays[flag][self.numbers[image.stem]] = False
        start = self.header.images
        entries = _TableEntries(
            (*new, *changed),
            [*range(start, start + len(new)), *(self.numbers[image.stem] for image in changed)],
            [self._geometry(image) for image in (*new, *changed)],
        )
        first_rows, total = self._assign_rows(entries)
        self._resize(start + len(new), total)
        self._write_rows(entries, first_rows)
        self._write_images(entries.subset(0, len(new)), first_rows[: len(new)])
        self.numbers |= {image.stem: start + at for at, image in enumerate(new)}
        header = replace(self.header, images=start + len(new), rows=total)
        put_header(self.group, self._with_drawn(header, images))
        self._write_images(entries.subset(len(new), None), first_rows[len(new) :])

    def _with_drawn(self, header: Header, images: Sequence[PlannedImage]) -> Header:
        """Return a header that says where these images are from; of others as before."""
        drawn = {self.numbers[image.stem]: image.drawn for image in images}
        return replace(header, drawn=updated_drawn(header.drawn, drawn))

    def _table(self, name: str) -> NDArray[Any]:
        return read_table(self.arrays[name], slice(None))

    def _new(self, images: Sequence[PlannedImage]) -> list[PlannedImage]:
        return [image for image in images if image.stem not in self.numbers]

    def _changed(self, images: Sequence[PlannedImage]) -> list[PlannedImage]:
        return [
            image
            for image in images
            for number in [self.numbers.get(image.stem)]
            if number is not None
            and (
                (composed(self.names[number]), self.sizes[number])
                != (composed(image.name), image.size)
                or number in self.inconsistent  # a planning run was killed while it entered it
            )
        ]

    def _geometry(self, image: PlannedImage) -> Geometry:
        spec = self.header.spec
        return plan_tiles(image.size, spec.row_shape, spec.fit, spec.overlap)

    def _assign_rows(self, entries: "_TableEntries") -> tuple[list[int], int]:
        """Return the first row of each image, and the number of rows that the store then has.

        An image keeps its rows if their number is the same and ``rows/image`` agrees that they are
        its own (a killed run may have assigned others); else it gets new ones at the end.
        """
        first_row, row_count = self._table("images/first_row"), self._table("images/row_count")
        owner = self._table("rows/image")[: self.header.rows]
        total, first_rows = self.header.rows, []
        for number, geometry in zip(entries.numbers, entries.geometries, strict=True):
            count = len(geometry.offsets)
            keeps_count = number < self.header.images and row_count[number] == count
            first = int(first_row[number]) if keeps_count else 0
            current_rows = owner[first : first + count] if first >= 0 else owner[:0]
            if keeps_count and len(current_rows) == count and (current_rows == number).all():
                first_rows.append(first)
            else:
                first_rows.append(total)
                total += count
        return first_rows, total

    def _resize(self, images: int, rows: int) -> None:
        header = replace(self.header, images=images, rows=rows)
        for name, layout in array_layouts(header).items():
            if self.arrays[name].shape != layout.shape:
                self.arrays[name].resize(layout.shape)

    def _write_rows(self, entries: "_TableEntries", first_rows: list[int]) -> None:
        """Write the rows of images; rows that an image gave up belong to no image."""
        owner, offset = self._table("rows/image"), self._table("rows/offset")
        owner[np.isin(owner, entries.numbers)] = NO_IMAGE
        for number, first, geometry in zip(
            entries.numbers, first_rows, entries.geometries, strict=True
        ):
            rows = slice(first, first + len(geometry.offsets))
            owner[rows] = number
            offset[rows] = geometry.offsets
        self.arrays["rows/image"][:] = owner
        self.arrays["rows/offset"][:] = offset

    def _write_images(self, entries: "_TableEntries", first_rows: list[int]) -> None:
        """Write the columns of images; the size comes last, see `extend`."""
        columns: dict[str, list[Any]] = {
            "images/name": [image.name for image in entries.images],
            "images/first_row": first_rows,
            "images/row_count": [len(geometry.offsets) for geometry in entries.geometries],
            "images/resized": [geometry.resized for geometry in entries.geometries],
            "images/size": [geometry.size for geometry in entries.geometries],
        }
        for name, column in columns.items() if entries.images else ():
            table = self._table(name)
            for number, value in zip(entries.numbers, column, strict=True):
                table[number] = value
            self.arrays[name][:] = table


@dataclass(frozen=True)
class _TableEntries:
    """Images that are to be entered, with their numbers and geometries."""

    images: tuple[PlannedImage, ...]
    numbers: list[int]
    geometries: list[Geometry]

    def subset(self, start: int, stop: int | None) -> "_TableEntries":
        selection = slice(start, stop)
        return _TableEntries(
            self.images[selection], self.numbers[selection], self.geometries[selection]
        )
