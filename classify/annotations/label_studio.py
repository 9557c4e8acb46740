"""Label Studio's JSON: read from an export, written as predictions, which people then correct.

Specification: https://labelstud.io/guide/export.html ("JSON") and
https://labelstud.io/guide/predictions.html; of each kind of region, https://labelstud.io/tags/.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from ...store.errors import InputError
from .figures import ellipse, is_sparse, rectangle, turned
from .format import Candidate, ClassToWrite, Format, MaskToWrite
from .image_names import plain_name
from .label_studio_rle import bitmap_of_brush, brush_of_mask
from .limits import PixelBudget, checked_points, checked_size, number
from .model import AnnotatedImage, Annotations, Area, Points, Polygon, Shape

__all__ = ["LABEL_STUDIO"]

_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a file that is uploaded."""

_IMAGE = re.compile(r"\.(avif|bmp|gif|jpe?g|jp2|png|tiff?|webp)$", re.IGNORECASE)
_MODEL = "dseg"


def _recognise(candidate: Candidate) -> bool:
    value = candidate.json
    first = value[0] if isinstance(value, list) and value else None
    if not isinstance(first, dict):
        return False
    return {"annotation_id", "annotator"} <= first.keys() or (
        "data" in first and bool(first.keys() & {"annotations", "predictions", "completions"})
    )


def _read(candidate: Candidate) -> Annotations:
    reader = _Reader()
    for k, task in enumerate(candidate.json):
        where = f"task {task.get('id', k) if isinstance(task, dict) else k}"
        try:
            reader.add(task)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    return reader.annotations()


class _Reader:
    """Collects what the tasks of a file say."""

    def __init__(self) -> None:
        self._images: dict[str, AnnotatedImage] = {}
        self._notes: dict[str, int] = {}
        self._budget = PixelBudget()

    def annotations(self) -> Annotations:
        """Return what all tasks say."""
        if not self._images:
            raise InputError("no task has an annotation that is submitted and not skipped")
        images = tuple(self._images.values())
        labels = {shape.label for image in images for shape in image.shapes}
        return Annotations(
            "Label Studio",
            images,
            tuple((label, None) for label in sorted(label for label in labels if label)),
            sparse=any(is_sparse(image.shapes) for image in images),
            notes=tuple(f"{what} ({times})" for what, times in self._notes.items()),
        )

    def add(self, task: Any) -> None:
        """Add what a task says."""
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise InputError('it has no "data": export as "JSON", not as "JSON-MIN"')
        latest = _latest(task.get("annotations", []))
        if latest is None:
            self._note("tasks without an annotation are left out")
            return
        name = _image_name(task["data"])
        if name in self._images:
            raise InputError(f"it is of the image '{name}', as another task: remove one of them")
        result = latest.get("result", [])
        if not isinstance(result, list) or not all(isinstance(one, dict) for one in result):
            raise InputError('the "result" of its annotation is no list of regions')
        regions = [one for one in result if isinstance(one.get("value"), dict)]
        shapes = [shape for one in regions if (shape := self._shape(one, regions)) is not None]
        size = next((found for one in regions if (found := _size(one)) is not None), None)
        self._images[name] = AnnotatedImage(name, tuple(shapes), size)

    def _note(self, what: str) -> None:
        self._notes[what] = self._notes.get(what, 0) + 1

    def _shape(
        self, region: Mapping[str, Any], regions: Sequence[Mapping[str, Any]]
    ) -> Shape | None:
        """Return the shape of a region; None if it has none, or is of no known kind."""
        kind, value = str(region.get("type")), region["value"]
        if kind in ("labels", "choices", "textarea", "rating", "number", "taxonomy", "relation"):
            return None
        beside = [one for one in regions if one.get("type") == "labels"]  # of <Polygon>, <Labels>
        same = [one for one in beside if one.get("id") == region.get("id")]
        labels = _labels(region) or [label for one in same for label in _labels(one)]
        if not labels:
            self._note("regions without a label count as unlabelled")
        elif len(labels) > 1:
            self._note("of regions with several labels the first is taken")
        if region.get("image_rotation") not in (None, 0):
            raise InputError("its image is turned in Label Studio: turn the image's file instead")
        try:
            area = self._area(kind.removesuffix("labels"), value, region)
        except InputError as error:
            raise InputError(f"a region of type '{kind[:40]}': {error}") from error
        if area is None:
            self._note(f"regions of the type '{kind[:40]}' are left out")
            return None
        return Shape(labels[0] if labels else None, (area,))

    def _area(self, kind: str, value: Mapping[str, Any], region: Mapping[str, Any]) -> Area | None:
        if kind not in ("polygon", "rectangle", "ellipse", "keypoint", "brush"):
            return None
        if kind == "brush" and value.get("format") != "rle":
            raise InputError("its format is not 'rle'")
        size = _size(region)
        if size is None:
            raise InputError("it states no original_width and original_height")
        if kind == "brush":
            return self._budget.take(bitmap_of_brush(value.get("rle"), *size))
        return _figure(kind, value, size)


def _figure(kind: str, value: Mapping[str, Any], size: tuple[int, int]) -> Area:
    """Return a figure, which is given in percent of the image's width and height."""
    unit = np.array([size[1], size[0]], np.float64) / 100
    if kind == "polygon":
        return Polygon(checked_points(value.get("points"), "polygon") * unit)
    x, y = (number(value.get(key), key) for key in "xy")
    if kind == "keypoint":
        diameter = number(value.get("width", 0), "width") * unit[0]
        return Points(np.array([(x, y)], np.float64) * unit, max(diameter, 0.0) / 2)
    degrees = number(value.get("rotation") or 0, "rotation")
    if kind == "rectangle":
        w, h = (number(value.get(key), key) for key in ("width", "height"))
        ring = rectangle(x, y, x + w, y + h)
    else:
        rx, ry = (number(value.get(key), key) for key in ("radiusX", "radiusY"))
        ring = ellipse(x, y, rx, ry)
    # Rectangles are turned about their first corner, ellipses about their centre.
    return Polygon(turned(ring * unit, degrees, (x * unit[0], y * unit[1])))


def _latest(annotations: Any) -> Mapping[str, Any] | None:
    """Return the annotation that was changed last, of those that are not cancelled."""
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise InputError('its "annotations" are no list of objects')
    kept = [one for one in annotations if not one.get("was_cancelled")]
    when = [str(one.get("updated_at") or one.get("created_at") or "") for one in kept]
    return max(zip(when, range(len(kept)), kept, strict=True), default=(None, 0, None))[2]


def _image_name(data: Mapping[str, Any]) -> str:
    """Return the name of a task's image: of the texts of its data, the one that is a file's."""
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value}
    named = [t for t in texts.values() if _IMAGE.search(t) or _IMAGE.search(t.partition("?")[0])]
    found = ([texts["image"]] if "image" in texts else named) or list(texts.values())
    name = plain_name(found[0] if found else None)
    if "/upload/" in f"/{name}":
        return _UPLOADED.sub("", name.rpartition("/")[2], count=1)
    return name


def _labels(region: Mapping[str, Any]) -> list[str]:
    value = region["value"]
    found = value.get(str(region.get("type"))) or value.get("labels") or []
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise InputError("the labels of a region are no list of texts")
    return found


def _size(region: Mapping[str, Any]) -> tuple[int, int] | None:
    if region.get("original_height") is None or region.get("original_width") is None:
        return None
    return checked_size(region["original_height"], region["original_width"])


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    (out / "label_config.xml").write_text(_config(classes), "utf-8")
    with (out / "tasks.json").open("w", encoding="utf-8") as file:
        file.write("[")
        for k, one in enumerate(masks):
            regions = [_region(one, which) for which in classes if (one.mask == which.id).any()]
            prediction = {"model_version": _MODEL, "result": regions}
            name = quote(one.name) if _is_url(prefix) else one.name
            task = {"data": {"image": prefix + name}, "predictions": [prediction]}
            file.write((",\n" if k else "\n") + json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")


def _is_url(prefix: str) -> bool:
    """Whether names after it are percent-encoded, as those of Label Studio's local files are."""
    return "://" in prefix or "?" in prefix


def _region(one: MaskToWrite, which: ClassToWrite) -> dict[str, Any]:
    height, width = one.mask.shape
    return {
        "id": f"class-{which.id}",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "origin": "prediction",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": brush_of_mask(one.mask == which.id),
            "brushlabels": [which.name],
        },
    }


def _config(classes: Sequence[ClassToWrite]) -> str:
    """Return the labelling interface that the tasks are for."""
    labels = "\n".join(
        f'    <Label value={quoteattr(one.name)} background="#{bytes(one.colour).hex()}"/>'
        for one in classes
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}\n  </BrushLabels>\n</View>\n'
    )


LABEL_STUDIO = Format(
    name="label-studio",
    title="Label Studio",
    recognise=_recognise,
    read=_read,
    write=_write,
    target="folder",
    orders_classes=False,
    in_zip=True,
)
