"""The CSV files that napari saves of points and shapes: strokes, polygons, ellipses.

Points have the columns ``index,axis-0,axis-1`` and then their features, shapes
``index,shape-type,vertex-index,axis-0,axis-1`` and no features. A class is the feature ``class``
(or ``label``, ``category``, ``name``) of a point. In a file without such a column all have the
class that the file is named after, and its folder is named after the image: ``7/cell.csv``.

napari counts rows, then columns, from the centre of the first pixel.
"""

import csv
import io
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ....store.names import why_unsafe
from ..files.format import Candidate, ClassToWrite, Format, MaskToWrite
from ..files.per_image import annotations_of, file_for, image_name, without_ending
from ..shapes.bridges import bridged
from ..shapes.figures import ellipse
from ..shapes.limits import MOST_BYTES, number_in
from ..shapes.model import Annotations, Area, Lines, Points, Polygon, Shape
from ..shapes.outlines import outlines

__all__ = ["NAPARI"]

_TITLE = "napari CSV"
_POINTS = ("index", "axis-0", "axis-1")
_SHAPES = ("index", "shape-type", "vertex-index", "axis-0", "axis-1")
_CLASS_KEYS = ("class", "label", "category", "class_name", "name")


def _recognise(candidate: Candidate) -> bool:
    columns = candidate.head.partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    return columns.startswith((",".join(_POINTS), ",".join(_SHAPES)))


def _read(candidate: Candidate) -> Annotations:
    path = without_ending(candidate.within, (".csv",)) or candidate.within
    folder, _, last = path.rpartition("/")
    try:
        with candidate.path.open("rb") as opened:
            if opened.seek(0, io.SEEK_END) > MOST_BYTES:
                raise InputError(f"it has more than {MOST_BYTES // 2**20} MiB")
            opened.seek(0)
            with io.TextIOWrapper(opened, "utf-8-sig", newline="") as text:
                table = _table(text, last)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"it cannot be read: {error}") from error
    shapes = _points(table) if table.kinds is None else _shapes(table, table.kinds)
    if not shapes:
        raise InputError("none of its points or shapes has a class")
    image = path
    if table.named_by_file:
        image = folder or candidate.path.absolute().parent.name
    colours = dict.fromkeys(shape.label for shape in shapes if shape.label is not None)
    axes = [name for name in table.columns if name.startswith("axis-")]
    notes = [] if len(axes) == 2 else [f"of its {len(axes)} axes the last two count"]
    return annotations_of(_TITLE, image_name(image), shapes, colours, notes)


@dataclass(frozen=True)
class _Table:
    """What a file says: of each row, and of shapes the row where each starts and its type."""

    columns: list[str]
    named_by_file: bool
    labels: list[str]
    xy: NDArray[np.float64]
    starts: list[int]
    kinds: list[str] | None


def _table(file: TextIO, file_class: str) -> _Table:
    """Read a file row by row: a row takes 24 bytes of memory."""
    rows = csv.reader(file)
    columns = next(rows)
    axes = [k for k, name in enumerate(columns) if name.startswith("axis-")][-2:]
    key = next((columns.index(name) for name in _CLASS_KEYS if name in columns), None)
    index = columns.index("index")
    kind = columns.index("shape-type") if "shape-type" in columns else None
    labels, numbers, known = list[str](), array("d"), {file_class: file_class}
    starts, kinds, before = list[int](), list[str](), None
    for row in rows:
        if not row:
            continue
        if len(row) < len(columns):
            raise InputError(f"it has a row of {len(row)} values: expected {len(columns)}")
        if kind is not None and row[index] != before:
            before = row[index]
            starts.append(len(labels))
            kinds.append(row[kind])
        label = file_class if key is None else row[key].strip()
        labels.append(known.setdefault(label, label))
        numbers.extend(number_in(row[k], columns[k]) for k in reversed(axes))
    if not labels:
        raise InputError("it has no points or shapes")
    xy = np.frombuffer(numbers, np.float64).reshape(-1, 2) + 0.5
    return _Table(columns, key is None, labels, xy, starts, None if kind is None else kinds)


def _points(table: _Table) -> list[Shape]:
    """Return a shape of all points of each class."""
    members: dict[str, list[int]] = {}
    for k, label in enumerate(table.labels):
        if label:
            members.setdefault(label, []).append(k)
    return [Shape(label, (Points(table.xy[found]),)) for label, found in members.items()]


def _shapes(table: _Table, kinds: Sequence[str]) -> list[Shape]:
    """Return the shapes: rows that follow each other and have one index."""
    found = []
    stops = [*table.starts[1:], len(table.labels)]
    for kind, start, stop in zip(kinds, table.starts, stops, strict=True):
        area = _area(kind, table.xy[start:stop])
        if area is not None and table.labels[start]:
            found.append(Shape(table.labels[start], (area,)))
    return found


def _area(kind: str, vertices: NDArray[np.float64]) -> Area | None:
    if kind in ("line", "path"):
        return Lines(vertices)
    if kind not in ("rectangle", "polygon", "ellipse"):
        raise InputError(f"it has a shape of the type {kind[:40]!r}, which napari has not")
    if kind == "ellipse":
        if len(vertices) != 4:
            raise InputError(f"an ellipse has {len(vertices)} vertices: expected 4")
        first, second, third, fourth = vertices  # of the rectangle around it, which may be turned
        half_axes = np.stack([second - first, fourth - first]) / 2
        return Polygon((first + third) / 2 + ellipse(0, 0, 1, 1) @ half_axes)
    return Polygon(vertices) if len(vertices) >= 3 else None


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    """Write the outlines of each class of each image as shapes; holes are bridged."""
    for one in classes:
        if (why := why_unsafe(f"{one.name}.csv")) is not None or "/" in one.name:
            raise InputError(f"class '{one.name}' cannot name a file: {why or 'it has a /'}")
    names = {one.id: one.name for one in classes}
    for item in masks:
        folder = file_for(out, item.name, "")
        folder.mkdir(parents=True)
        for k, found in groupby(outlines(item.mask, names), key=itemgetter(0)):
            _write_shapes(folder / f"{names[k]}.csv", (polygon for _, polygon in found))


def _write_shapes(path: Path, polygons: Iterable[Polygon]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_SHAPES)
        for index, polygon in enumerate(polygons):
            ring = bridged([polygon.exterior, *polygon.holes]) - 0.5
            for vertex, (x, y) in enumerate(ring.tolist()):
                writer.writerow([index, "polygon", vertex, y, x])


NAPARI = Format(
    "napari",
    _TITLE,
    _recognise,
    _read,
    _write,
    target="folder",
    orders_classes=False,
    several_per_image=True,
)
