"""Plan a store: enter the images in its tables and give every array its length.

One process at a time, under a lock; afterwards nobody resizes while workers run. Every step
can be repeated after a kill at any point: what counts is the header, written after the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

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
    open_arrays,
    open_group,
    read_header,
    started_attributes,
)
from ..geometry import Geometry, plan_rows
from ..locks import locked, say_nothing
from ..names import composed, stem_of
from ..read.tables import check_layers, read_entries, read_table
from ..spec import FeatureSpec

__all__ = ["Plan", "PlannedImage", "plan_store", "refuse_foreign"]

PATIENCE = 60.0  # seconds for which another process may plan

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
    codec : str
        Name of its compression.
    """

    indices: Mapping[str, int]
    vanished: tuple[str, ...]
    created: bool
    codec: str


def plan_store(
    path: str | Path,
    spec: FeatureSpec,
    images: Sequence[PlannedImage],
    *,
    codec: str = DEFAULT_CODEC,
    say: Callable[[str], None] = say_nothing,
    patience: float = PATIENCE,
) -> Plan:
    """Make room for images in a store; create the store if there is none.

    Images new to it get numbers and rows at the end. An image whose size or extension has changed
    loses its flags and is to be extracted again; its rows are new ones if their number changed.

    Parameters
    ----------
    path : str or Path
        A folder; absent, empty, or a feature store.
    spec : FeatureSpec
    images : sequence of PlannedImage
    codec : str
        Name of the compression; a store that exists keeps its own.
    say : callable
        Told on whom this waits, where another process plans the store.
    patience : float
        Seconds to wait for it.

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
    refuse_foreign(folder)
    store = LocalStore(folder)
    planned = _open_planned(folder, spec)
    if planned and not planned.missing(images):
        _tidy(folder)
        return planned.summary(images, created=False)  # nothing to do, so no lock
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"'{folder}' is being planned by"
    advice = "Wait until it has finished, then repeat this command"
    with locked(folder / LOCK, busy, advice, patience=patience, say=say):
        remove_leftovers(store)
        for group in ("", *GROUPS):
            remove_partials(store, group)
        book = _open_planned(folder, spec)
        created = book is None
        if book is None:
            book = _create(folder, spec, codec)
        if book.missing(images):
            book.extend(images)
    return _Book(folder).summary(images, created=created)


def _tidy(folder: Path) -> None:
    """Remove what dead processes have left of locks, unless another process plans."""
    store = LocalStore(folder)
    if any(name.startswith(LOCK) for name in list_folder(store, "")):
        with suppress(StoreError, OSError), locked(folder / LOCK, "", ""):
            remove_leftovers(store)


def _refuse_twins(images: Sequence[PlannedImage]) -> None:
    seen: dict[str, str] = {}
    for image in images:
        if image.stem in seen:
            raise InputError(
                f"the names of images '{seen[image.stem]}' and '{image.name}' differ only in "
                "the extension or the Unicode form, so their labels and masks could not be "
                "told apart: rename one"
            )
        seen[image.stem] = image.name


def refuse_foreign(folder: Path) -> None:
    """Refuse to write among files that are not ours.

    Raises
    ------
    InputError
        If the path is a file, or a folder that holds anything but a Zarr group.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file: give a folder for the feature store")
    store = LocalStore(folder)
    # The lock is the first file in a store, the group's zarr.json the second; a kill while that is
    # written leaves zarr's partial file, and locks of older versions left more.
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


def _open_planned(folder: Path, spec: FeatureSpec) -> "_Book | None":
    """Open a store's tables; None if there is no store, or one not planned to the end."""
    if not exists(LocalStore(folder), "zarr.json"):
        return None
    group = open_group(folder)
    if group.attrs.asdict() == started_attributes():
        return None
    header = read_header(group, f"'{folder}'")
    if header.layout == DENSE:
        raise InputError(
            f"'{folder}' is a dense export, which cannot be extended: give a new folder"
        )
    if header.spec.hash != spec.hash:
        raise SpecMismatchError(
            f"the store '{folder}' was extracted with another feature spec: "
            + "; ".join(header.spec.differences(spec))
            + (
                " ('here' is the store, 'there' this command). Use the same options, or give "
                "another folder"
            )
        )
    return _Book(folder)


def _create(folder: Path, spec: FeatureSpec, codec: str) -> "_Book":
    """Create an empty store; the attributes that make it readable come last."""
    group = zarr.open_group(
        LocalStore(folder), mode="a", zarr_format=3, attributes=started_attributes()
    )
    header = Header(spec, codec, 0, 0)
    create_store(group, header)
    group.attrs.put(header.to_attributes())
    return _Book(folder)


class _Book:
    """The tables of a store while it is planned."""

    def __init__(self, folder: Path) -> None:
        self.where = f"'{folder}'"
        self.group = open_group(folder, write=True)
        self.header = read_header(self.group, self.where)
        self.arrays = open_arrays(self.group, self.header, self.where)
        check_layers(self.arrays, self.header, self.where)
        entries = read_entries(self.arrays, self.header, self.where)
        entries.refuse_doubts(list_numbers(self.group.store, "complete/c"), self.where)
        self.names, self.doubts = entries.names, entries.doubts
        self.sizes = [geometry.size for geometry in entries.geometries]
        # By stem, as labels and masks know an image: with another extension it is the same one.
        self.numbers = {stem_of(name): i for i, name in enumerate(self.names)}

    def missing(self, images: Sequence[PlannedImage]) -> bool:
        """Whether images are new, or other than the tables say: in size, extension or rows."""
        return bool(self._new(images) or self._changed(images))

    def summary(self, images: Sequence[PlannedImage], *, created: bool) -> Plan:
        """Return the numbers of the images asked for."""
        wanted = {image.stem for image in images}
        return Plan(
            {image.name: self.numbers[image.stem] for image in images},
            tuple(name for name in self.names if stem_of(name) not in wanted),
            created,
            self.header.codec,
        )

    def extend(self, images: Sequence[PlannedImage]) -> None:
        """Enter new and changed images.

        New ones are entered beyond what the header counts, then counted. Changed ones come after:
        flags off, rows counted, tables overwritten, and last the size, by which a change is known.
        """
        new, changed = self._new(images), self._changed(images)
        for image in changed:
            for flag in ("complete", "failed"):
                self.arrays[flag][self.numbers[image.stem]] = False
        start = self.header.images
        entered = _Entries(
            (*new, *changed),
            [*range(start, start + len(new)), *(self.numbers[image.stem] for image in changed)],
            [self._geometry(image) for image in (*new, *changed)],
        )
        firsts, total = self._place(entered)
        self._resize(start + len(new), total)
        self._write_rows(entered, firsts)
        self._write_images(entered.part(0, len(new)), firsts[: len(new)])
        header = replace(self.header, images=start + len(new), rows=total)
        self.group.attrs.put(header.to_attributes())
        self._write_images(entered.part(len(new), None), firsts[len(new) :])

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
                or number in self.doubts  # a killed plan was about to enter it
            )
        ]

    def _geometry(self, image: PlannedImage) -> Geometry:
        spec = self.header.spec
        return plan_rows(image.size, spec.row_shape, spec.fit, spec.overlap)

    def _place(self, entered: "_Entries") -> tuple[list[int], int]:
        """Return the first row of each image, and how many rows the store then has."""
        first_row, row_count = self._table("images/first_row"), self._table("images/row_count")
        owner = self._table("rows/image")[: self.header.rows]
        total, firsts = self.header.rows, []
        for number, geometry in zip(entered.numbers, entered.geometries, strict=True):
            count = len(geometry.offsets)
            known = number < self.header.images and row_count[number] == count
            first = int(first_row[number]) if known else 0
            own = owner[first : first + count] if first >= 0 else owner[:0]
            if known and len(own) == count and (own == number).all():
                firsts.append(first)
            else:
                firsts.append(total)
                total += count
        return firsts, total

    def _resize(self, images: int, rows: int) -> None:
        header = replace(self.header, images=images, rows=rows)
        for name, layout in array_layouts(header).items():
            if self.arrays[name].shape != layout.shape:
                self.arrays[name].resize(layout.shape)

    def _write_rows(self, entered: "_Entries", firsts: list[int]) -> None:
        """Enter the rows of images; rows that an image has given up belong to none."""
        owner, offset = self._table("rows/image"), self._table("rows/offset")
        owner[np.isin(owner, entered.numbers)] = NO_IMAGE
        for number, first, geometry in zip(
            entered.numbers, firsts, entered.geometries, strict=True
        ):
            rows = slice(first, first + len(geometry.offsets))
            owner[rows] = number
            offset[rows] = geometry.offsets
        self.arrays["rows/image"][:] = owner
        self.arrays["rows/offset"][:] = offset

    def _write_images(self, entered: "_Entries", firsts: list[int]) -> None:
        """Enter images; the size comes last."""
        columns: dict[str, list[Any]] = {
            "images/name": [image.name for image in entered.images],
            "images/first_row": firsts,
            "images/row_count": [len(geometry.offsets) for geometry in entered.geometries],
            "images/resized": [geometry.resized for geometry in entered.geometries],
            "images/size": [geometry.size for geometry in entered.geometries],
        }
        for name, column in columns.items() if entered.images else ():
            table = self._table(name)
            for number, value in zip(entered.numbers, column, strict=True):
                table[number] = value
            self.arrays[name][:] = table


@dataclass(frozen=True)
class _Entries:
    """Images about to be entered, with their numbers and geometries."""

    images: tuple[PlannedImage, ...]
    numbers: list[int]
    geometries: list[Geometry]

    def part(self, start: int, stop: int | None) -> "_Entries":
        cut = slice(start, stop)
        return _Entries(self.images[cut], self.numbers[cut], self.geometries[cut])
