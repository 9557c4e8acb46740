"""Labels in OME-Zarr: an image's folder ``7.ome.zarr`` has them in ``labels/<name>``.

The values are class ids; ``image-label`` names and colours them. Versions 0.4 (on Zarr 2) and 0.5
(on Zarr 3) are read, 0.5 is written: the label map, and smaller copies of it by the nearest pixel.

References
----------
"OME-Zarr specification", versions 0.4 and 0.5, of the Open Microscopy Environment: "labels",
"image-label" and "multiscales".
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ....store.errors import InputError
from ....store.names import why_unsafe
from ..files.format import Candidate, ClassToWrite, Format, MaskToWrite
from ..files.per_image import file_for, image_name, without_ending
from ..shapes.limits import PixelBudget, colour_in
from ..shapes.model import AnnotatedImage, Annotations, Bitmap, Colour, Shape
from .zarr_arrays import attributes_of, read_plane

__all__ = ["OME_ZARR"]

_TITLE = "OME-Zarr"
_ENDINGS = (".ome.zarr", ".zarr")
_NAME_KEYS = ("name", "class", "label", "category", "class_name")
_MOST_UNNAMED = 255
_MOST_ID = 65534
_WRITTEN = "classes"  # the group that is written
_CHUNK, _SMALLEST = 1024, 256  # pixels


def _recognise(candidate: Candidate) -> bool:
    folder = candidate.path
    if not folder.is_dir():
        return False
    return "image-label" in attributes_of(folder) or bool(_names(folder))


def _names(folder: Path) -> list[str]:
    """Return the names of an image's label groups, as its group "labels" lists them."""
    listed = attributes_of(folder / "labels").get("labels")
    found = listed if isinstance(listed, list) else []
    return [name for name in found if isinstance(name, str)]


def _read(candidate: Candidate) -> Annotations:
    group, within = _group(candidate)
    attributes = attributes_of(group)
    plane = read_plane(group / _full_resolution(attributes))
    named = _named(attributes)
    ids, classes = _classes(plane, named)
    name = image_name(without_ending(within, _ENDINGS) or within)
    shapes = _shapes(plane, ids, [label for label, _ in classes])
    image = AnnotatedImage(name, shapes, (plane.shape[0], plane.shape[1]))
    return Annotations(_TITLE, (image,), classes)


def _group(candidate: Candidate) -> tuple[Path, str]:
    """Return the label group of a folder, and the name of the folder of the image."""
    folder = candidate.path
    if "image-label" in attributes_of(folder):
        absolute = folder.absolute()
        return folder, absolute.parents[1].name if absolute.parent.name == "labels" else folder.name
    names = _names(folder)
    if len(names) > 1:
        raise InputError(
            f"it has several groups of labels: give one of them, such as "
            f"'{folder / 'labels' / names[0]}' (others: {', '.join(names[1:6])})"
        )
    if (why := why_unsafe(names[0])) is not None:
        raise InputError(f"its group of labels has the name {names[0][:80]!r}: {why}")
    return folder / "labels" / names[0], candidate.within


def _full_resolution(attributes: dict[str, Any]) -> str:
    """Return the path of the first dataset, which has the full resolution."""
    try:
        path = attributes["multiscales"][0]["datasets"][0]["path"]
    except (KeyError, IndexError, TypeError) as error:
        raise InputError("its labels have no multiscales: no dataset is named") from error
    if not isinstance(path, str) or why_unsafe(path) is not None:
        raise InputError(f"its dataset has the path {str(path)[:80]!r}, which leads elsewhere")
    return path


def _named(attributes: dict[str, Any]) -> dict[int, tuple[str | None, Colour | None]]:
    """Return the name and colour that image-label gives to values."""
    described = attributes.get("image-label")
    described = described if isinstance(described, dict) else {}
    found: dict[int, tuple[str | None, Colour | None]] = {}
    for one in _entries(described.get("properties")):
        texts = [one[key] for key in _NAME_KEYS if isinstance(one.get(key), str) and one[key]]
        found[one["label-value"]] = (texts[0] if texts else None, None)
    for one in _entries(described.get("colors")):
        colour, value = colour_in(one.get("rgba")), one["label-value"]
        if colour is not None:
            found[value] = (found.get(value, (None, None))[0], colour)
    return found


def _entries(listed: object) -> list[dict[str, Any]]:
    entries = listed if isinstance(listed, list) else []
    entries = [one for one in entries if isinstance(one, dict)]
    values = [one.get("label-value") for one in entries]
    return [
        one
        for one, value in zip(entries, values, strict=True)
        if type(value) is int and 0 <= value <= _MOST_ID
    ]


def _classes(
    plane: NDArray[np.integer[Any]], named: dict[int, tuple[str | None, Colour | None]]
) -> tuple[dict[int, int], tuple[tuple[str, Colour | None], ...]]:
    """Return the number of the class of each value, and the classes in the order of the values.

    0 is no label, unless it has a name.
    """
    low, high = int(plane.min()), int(plane.max())
    if low < 0 or high > _MOST_ID:
        raise InputError(f"its labels have values from {low} to {high}: expected 0 to {_MOST_ID}")
    present = np.flatnonzero(np.bincount(plane.ravel().astype(np.intp)))
    values = sorted({*present.tolist(), *(v for v, (name, _) in named.items() if name)})
    values = [v for v in values if v or named.get(v, (None, None))[0]]
    unnamed = sum(named.get(v, (None, None))[0] is None for v in values)
    if unnamed > _MOST_UNNAMED:
        raise InputError(
            f"its labels have {unnamed} values without a name: are they numbers of objects? Name "
            "their class in image-label's properties, as 'class'"
        )
    ids: dict[int, int] = {}
    numbers: dict[str, int] = {}
    colours: dict[str, Colour | None] = {}
    for value in values:
        name, colour = named.get(value, (None, None))
        label = name or f"class {value}"
        ids[value] = numbers.setdefault(label, len(numbers))
        colours[label] = colours.get(label) or colour
    return ids, tuple(colours.items())


def _shapes(
    plane: NDArray[np.integer[Any]], ids: dict[int, int], labels: Sequence[str]
) -> tuple[Shape, ...]:
    """Return the pixels of each class."""
    table = np.zeros(_MOST_ID + 1, np.int32)
    for value, k in ids.items():
        table[value] = k + 1
    numbered = table[plane]
    budget, found = PixelBudget(), []
    for k, frame in enumerate(ndimage.find_objects(numbered)):
        if frame is not None:
            pixels = Bitmap(numbered[frame] == k + 1, frame[0].start, frame[1].start)
            found.append(Shape(labels[k], (budget.take(pixels),)))
    return tuple(found)


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    """Write ``<image>.ome.zarr/labels/classes`` for each mask."""
    # 0 is no label, so that of a class 0 all move up by one
    shift = int(any(one.id == 0 for one in classes))
    for item in masks:
        table = np.zeros(int(item.mask.max()) + 1, np.uint16)
        for one in classes:
            if one.id < len(table):
                table[one.id] = one.id + shift
        folder = file_for(out, item.name, ".ome.zarr")
        values = table[item.mask]
        if max((one.id for one in classes), default=0) + shift < 256:
            values = values.astype(np.uint8)
        _write_labels(folder, values, [(one.id + shift, one) for one in classes])


def _write_labels(
    folder: Path, values: NDArray[np.unsignedinteger], classes: Sequence[tuple[int, ClassToWrite]]
) -> None:
    import zarr

    levels = [values]
    while max(levels[-1].shape) > _SMALLEST:
        levels.append(levels[-1][::2, ::2])
    zarr.create_group(folder, attributes={"ome": {"version": "0.5"}})
    listed = {"ome": {"version": "0.5", "labels": [_WRITTEN]}}
    zarr.create_group(folder / "labels", attributes=listed)
    attributes = {"ome": _described(len(levels), classes)}
    group = zarr.create_group(folder / "labels" / _WRITTEN, attributes=attributes)
    for k, level in enumerate(levels):
        array = group.create_array(
            str(k),
            shape=level.shape,
            dtype=level.dtype,
            chunks=(min(_CHUNK, level.shape[0]), min(_CHUNK, level.shape[1])),
            dimension_names=("y", "x"),
        )
        array[:] = level


def _described(n_levels: int, classes: Sequence[tuple[int, ClassToWrite]]) -> dict[str, Any]:
    """Return the metadata of a label image."""
    axes = [{"name": name, "type": "space"} for name in ("y", "x")]
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [{"type": "scale", "scale": [2.0**k, 2.0**k]}],
        }
        for k in range(n_levels)
    ]
    return {
        "version": "0.5",
        "multiscales": [{"name": _WRITTEN, "axes": axes, "datasets": datasets, "type": "nearest"}],
        "image-label": {
            "colors": [
                {"label-value": value, "rgba": [*one.colour, 255]} for value, one in classes
            ],
            "properties": [
                {"label-value": value, "name": one.name, "id": one.id} for value, one in classes
            ],
            "source": {"image": "../../"},
        },
    }


OME_ZARR = Format("ome-zarr", _TITLE, _recognise, _read, _write, target="folder")
