"""labelme's JSON: one file for each image, beside it.

Written and read as labelme 5 and 6 do (``labelme/label_file.py`` and ``labelme/utils/shape.py`` of
https://github.com/wkentaro/labelme).
"""

import base64
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....store.errors import InputError
from ..files.format import Candidate, ClassToWrite, Format, MaskToWrite
from ..files.image_names import beside
from ..files.per_image import file_for
from ..shapes.figures import ellipse, is_sparse, rectangle
from ..shapes.limits import PixelBudget, checked_points, checked_size
from ..shapes.model import AnnotatedImage, Annotations, Area, Bitmap, Lines, Points, Polygon, Shape
from ..shapes.outlines import outlines
from ..shapes.rasterise import bitmap_of

__all__ = ["LABELME"]

_VERSION = "5.5.0"
"""From 5.2 on labelme reads masks."""

_IGNORED = "__ignore__"


def _recognise(candidate: Candidate) -> bool:
    value = candidate.json
    return isinstance(value, dict) and "shapes" in value and "imagePath" in value


def _read(candidate: Candidate) -> Annotations:
    value, budget = candidate.json, PixelBudget()
    if not isinstance(value["shapes"], list):
        raise InputError('its "shapes" are no list')
    shapes, unknown = list[Shape](), dict[str, None]()
    for k, plain in enumerate(value["shapes"]):
        try:
            shape = _shape(plain, budget)
        except InputError as error:
            raise InputError(f"shape {k}: {error}") from error
        if shape is None:
            unknown[str(plain["shape_type"])[:40]] = None
        else:
            shapes.append(shape)
    size = None
    if value.get("imageHeight") is not None and value.get("imageWidth") is not None:
        size = checked_size(value["imageHeight"], value["imageWidth"])
    image = AnnotatedImage(beside(candidate.within, value["imagePath"]), tuple(shapes), size)
    return Annotations(
        "labelme",
        (image,),
        tuple((name, None) for name in sorted({s.label for s in shapes if s.label is not None})),
        sparse=is_sparse(shapes),
        notes=tuple(f"shapes of the type '{kind}' are left out" for kind in unknown),
    )


def _shape(plain: Any, budget: PixelBudget) -> Shape | None:
    """Return a shape; None if it is of a type that is not known."""
    if not isinstance(plain, dict) or not isinstance(plain.get("label"), str):
        raise InputError("it has no label")
    kind = plain.setdefault("shape_type", "polygon") or "polygon"  # of old versions
    label = None if plain["label"] == _IGNORED else plain["label"]
    points = checked_points(plain.get("points"), str(kind)[:40])
    if kind == "mask":
        return Shape(label, (budget.take(_bitmap(plain.get("mask"), points)),))
    make = _AREAS.get(str(kind))
    return None if make is None else Shape(label, (make(points),))


def _rectangle(points: NDArray[np.float64]) -> Area:
    (x0, y0), (x1, y1) = _two(points, "rectangle")
    return Polygon(rectangle(x0, y0, x1, y1))


def _circle(points: NDArray[np.float64]) -> Area:
    (x, y), (x1, y1) = _two(points, "circle")
    radius = math.hypot(x1 - x, y1 - y)
    return Polygon(ellipse(x, y, radius, radius))


def _two(points: NDArray[np.float64], what: str) -> Any:
    if len(points) != 2:
        raise InputError(f"it is a {what} of {len(points)} points: expected 2")
    return points.tolist()


_AREAS: Mapping[str, Callable[[NDArray[np.float64]], Area]] = {
    "polygon": Polygon,
    "oriented_rectangle": Polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "line": Lines,
    "linestrip": Lines,
    "point": Points,
    "points": Points,
}


def _bitmap(encoded: Any, points: NDArray[np.float64]) -> Bitmap:
    """Return a mask: a PNG in base64, whose first pixel is at the first of two points."""
    (left, top), _ = _two(points, "mask")
    try:
        if not isinstance(encoded, str):
            raise ValueError("it is no text")
        file = BytesIO(base64.b64decode(encoded, validate=True))
        with Image.open(file, formats=["PNG"]) as image:
            checked_size(image.height, image.width)
            pixels = np.asarray(image.convert("L")) > 0
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"its mask is no PNG in base64: {error}") from error
    return Bitmap(pixels, int(top), int(left))


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    names = {one.id: one.name for one in classes}
    for one in masks:
        height, width = one.mask.shape
        value = {
            "version": _VERSION,
            "flags": {},
            "shapes": [
                _told(names[k], polygon, (height, width))
                for k, polygon in outlines(one.mask, names)
            ],
            "imagePath": _path(one.name, prefix),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        file = file_for(out, one.name, ".json")
        file.write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


def _path(name: str, prefix: str) -> str:
    """Return the path of an image from its JSON file, which lies as deep in folders as the image.

    >>> _path("a/7.jpg", ""), _path("a/7.jpg", "../photos/")
    ('7.jpg', '../../photos/a/7.jpg')
    """
    if not prefix:
        return PurePosixPath(name).name
    is_relative = not prefix.startswith("/") and ":" not in prefix
    return is_relative * name.count("/") * "../" + prefix + name


def _told(label: str, polygon: Polygon, size: tuple[int, int]) -> dict[str, Any]:
    """Return a polygon as labelme has it; with holes, which it has not, as a mask."""
    told: dict[str, Any] = {"label": label, "group_id": None, "description": "", "flags": {}}
    if not polygon.holes:
        points = polygon.exterior.tolist()
        return told | {"points": points, "shape_type": "polygon", "mask": None}
    bitmap = bitmap_of(polygon, size)
    rows, columns = np.nonzero(bitmap.pixels)
    top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
    file = BytesIO()
    Image.fromarray(bitmap.pixels[top : bottom + 1, left : right + 1]).save(file, format="PNG")
    corners = np.array([(left, top), (right, bottom)]) + np.array([bitmap.left, bitmap.top])
    mask = base64.b64encode(file.getvalue()).decode("ascii")
    return told | {"points": corners.tolist(), "shape_type": "mask", "mask": mask}


LABELME = Format(
    name="labelme",
    title="labelme",
    recognise=_recognise,
    read=_read,
    write=_write,
    target="folder",
    orders_classes=False,
    in_zip=True,
)
