"""COCO's JSON: one file of all images, with outlines or run lengths for each object.

Specification: https://cocodataset.org/#format-data, "Object Detection". Its crowds are groups of
objects, drawn roughly.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ..files.format import Candidate, ClassToWrite, Format, MaskToWrite
from ..files.image_names import plain_name
from ..shapes.figures import rectangle
from ..shapes.limits import PixelBudget, checked_points, checked_size, colour_in
from ..shapes.model import AnnotatedImage, Annotations, Area, Bitmap, Polygon, Shape
from ..shapes.outlines import outlines
from ..shapes.overlaps import note_of_overlaps
from ..shapes.rasterise import bitmap_of
from .coco_rle import bitmap_of_counts, counts_of_mask, counts_of_text, text_of_counts

__all__ = ["COCO"]


def _recognise(candidate: Candidate) -> bool:
    value = candidate.json
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict) and value[0].keys() >= _RESULT
    return isinstance(value, dict) and "images" in value and "annotations" in value


_RESULT = {"image_id", "category_id", "score"}


def _read(candidate: Candidate) -> Annotations:
    value = candidate.json
    if isinstance(value, list):
        raise InputError(
            "it is a file of results, which names no images: expected one with images, annotations "
            "and categories"
        )
    return _Reader(value).annotations()


class _Reader:
    """Reads the value of one file.

    Parameters
    ----------
    value : dict
    """

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._annotations = _objects(value, "annotations")
        self._images = {_id(image, "images"): image for image in _objects(value, "images")}
        categories = sorted(_objects(value, "categories"), key=lambda c: _id(c, "categories"))
        self._names = {_id(category, "categories"): _name(category) for category in categories}
        self._colours = {
            _name(category): colour_in(category.get("color")) for category in categories
        }
        self._budget = PixelBudget()
        self._boxes = self._crowds = 0
        self._only_crowds = self._classes_of(crowds=True) - self._classes_of(crowds=False)
        if any("segments_info" in one for one in self._annotations):
            raise InputError(
                "it is of COCO's panoptic form, whose masks are in PNGs beside it: export it as "
                "instances, with a segmentation for each annotation"
            )

    def annotations(self) -> Annotations:
        """Return what the file says."""
        shapes: dict[int, list[Shape]] = {}
        for annotation in self._annotations:
            where = f"annotation {annotation.get('id', '?')}"
            try:
                image = self._images.get(_id(annotation, "annotations", "image_id"))
                if image is None:
                    k = annotation["image_id"]
                    raise InputError(f"it is of an image {k} that is not there")
                shape = self._shape(annotation, image)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            shapes.setdefault(annotation["image_id"], []).append(shape)
        if self._boxes and self._boxes == len(self._annotations):
            raise InputError(
                "its annotations have boxes only, and a box says not which of its pixels are of "
                "the class: expected a segmentation for each annotation"
            )
        images = [self._image(k, tuple(shapes[k])) for k in self._images if k in shapes]
        _refuse_repeated(images)
        return Annotations(
            "COCO", tuple(images), tuple(self._colours.items()), notes=self._notes(images)
        )

    def _classes_of(self, *, crowds: bool) -> set[object]:
        """Return the categories of annotations that are crowds, or of the others."""
        return {
            str(one.get("category_id"))
            for one in self._annotations
            if bool(one.get("iscrowd")) is crowds
        }

    def _notes(self, images: Sequence[AnnotatedImage]) -> tuple[str, ...]:
        notes = []
        without = len(self._images) - len(images)
        if without:
            notes.append(f"images without an annotation are left out ({without})")
        if self._boxes:
            notes.append(f"boxes without a mask count as unlabelled ({self._boxes})")
        if self._crowds:
            notes.append(f"crowds count as unlabelled ({self._crowds})")
        for k, name in self._names.items():
            if str(k) in self._only_crowds:
                notes.append(f"'{name}' has crowds only: they count as that class")
        return (*notes, *note_of_overlaps(images))

    def _image(self, k: int, shapes: tuple[Shape, ...]) -> AnnotatedImage:
        image = self._images[k]
        return AnnotatedImage(plain_name(image.get("file_name")), shapes, _size(image))

    def _shape(self, annotation: Mapping[str, Any], image: Mapping[str, Any]) -> Shape:
        category = _id(annotation, "annotations", "category_id")
        if category not in self._names:
            raise InputError(f"its category {category} is none of the categories")
        segmentation = annotation.get("segmentation")
        if segmentation in (None, [], {}, ""):
            self._boxes += 1
            return Shape(None, (_box(annotation.get("bbox")),))
        areas = self._areas(segmentation, image)
        # CVAT and datumaro write every mask that was painted as a crowd.
        if annotation.get("iscrowd") and str(category) not in self._only_crowds:
            self._crowds += 1
            return Shape(None, areas)
        return Shape(self._names[category], areas)

    def _areas(self, segmentation: Any, image: Mapping[str, Any]) -> tuple[Area, ...]:
        if isinstance(segmentation, dict):
            return (self._budget.take(_bitmap(segmentation, image)),)
        if not isinstance(segmentation, list):
            raise InputError("its segmentation is neither polygons nor run lengths")
        rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return tuple(Polygon(checked_points(ring, "polygon")) for ring in rings)


def _objects(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = value.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InputError(f'its "{key}" is not a list of objects')
    return found


def _id(value: Mapping[str, Any], what: str, key: str = "id") -> int:
    found = value.get(key)
    if type(found) is not int:
        raise InputError(f"the {key} of an entry of {what} is no whole number")
    return found


def _name(category: Mapping[str, Any]) -> str:
    name = category.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(f"category {category['id']} has no name")
    return name


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    if "height" not in image and "width" not in image:
        return None
    return checked_size(image.get("height"), image.get("width"))


def _box(value: Any) -> Polygon:
    given = checked_points(value, "bbox").ravel().tolist()
    if len(given) != 4:
        raise InputError(f"its bbox has {len(given)} numbers: expected x, y, width, height")
    x, y, width, height = given
    return Polygon(rectangle(x, y, x + width, y + height))


def _bitmap(segmentation: Mapping[str, Any], image: Mapping[str, Any]) -> Bitmap:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        raise InputError('its run lengths have no "size": [height, width]')
    stated = _size(image)
    if stated is not None and stated != checked_size(*size):
        raise InputError(
            f"its run lengths are of an image of {size[1]}×{size[0]}, but the image is "
            f"{stated[1]}×{stated[0]}"
        )
    if isinstance(counts, str):
        return bitmap_of_counts(counts_of_text(counts), *size)
    if isinstance(counts, list) and all(type(n) is int and 0 <= n < 2**31 for n in counts):
        return bitmap_of_counts(np.array(counts, np.int64), *size)
    raise InputError('its "counts" are neither text nor a list of whole numbers')


def _refuse_repeated(images: Iterable[AnnotatedImage]) -> None:
    for name, times in Counter(image.name for image in images).items():
        if times > 1:
            raise InputError(f"it names the image '{name}' {times} times: expected once")


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    images, n_objects = [], 0
    ids = [one.id for one in classes]
    with out.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        for k, one in enumerate(masks, 1):
            size = one.mask.shape[0], one.mask.shape[1]
            name = prefix + one.name
            images.append({"id": k, "file_name": name, "height": size[0], "width": size[1]})
            for category, polygon in outlines(one.mask, ids):
                n_objects += 1
                told = {"id": n_objects, "image_id": k, "category_id": category, "iscrowd": 0}
                comma = ",\n" if n_objects > 1 else "\n"
                file.write(comma + json.dumps(told | _facts(polygon, size)))
        names = [{"id": one.id, "name": one.name, "color": list(one.colour)} for one in classes]
        rest = json.dumps({"images": images, "categories": names}, ensure_ascii=False)
        file.write("],\n" + rest[1:] + "\n")


def _facts(polygon: Polygon, size: tuple[int, int]) -> dict[str, Any]:
    """Return box, area and segmentation; holes can only be said by run lengths."""
    ring = polygon.exterior
    (left, top), (right, bottom) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
    area = _area(ring) - sum(map(_area, polygon.holes))
    if polygon.holes:
        segmentation: Any = _run_lengths(bitmap_of(polygon, size), size)
    else:
        segmentation = [ring.astype(int).ravel().tolist()]
    return {
        "bbox": [int(left), int(top), int(right - left), int(bottom - top)],
        "area": area,
        "segmentation": segmentation,
    }


def _area(ring: NDArray[np.float64]) -> int:
    x, y = ring.T
    return int(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _run_lengths(bitmap: Bitmap, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    h, w = bitmap.pixels.shape
    columns = np.zeros((height, w), np.bool_)
    columns[bitmap.top : bitmap.top + h] = bitmap.pixels
    counts = counts_of_mask(columns)
    before, after = bitmap.left * height, (width - bitmap.left - w) * height
    counts[0] += before
    if len(counts) % 2:  # ends outside
        counts[-1] += after
    elif after:
        counts = np.append(counts, after)
    return {"size": [height, width], "counts": text_of_counts(counts)}


COCO = Format(
    name="coco",
    title="COCO",
    recognise=_recognise,
    read=_read,
    write=_write,
    suffix=".json",
    in_zip=True,
)
