"""CVAT's XML, "CVAT for images 1.1": one file of all images.

Specification: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ..files.format import Candidate, ClassToWrite, Format, MaskToWrite
from ..files.image_names import plain_name
from ..shapes.figures import ellipse, is_sparse, rectangle, turned
from ..shapes.limits import PixelBudget, checked_points, checked_size, number_in
from ..shapes.model import (
    AnnotatedImage,
    Annotations,
    Area,
    Bitmap,
    Colour,
    Lines,
    Points,
    Polygon,
    Shape,
)
from ..shapes.objects import objects

__all__ = ["CVAT"]

_SHAPES = frozenset({"polygon", "box", "ellipse", "polyline", "points", "mask"})
_LEFT_OUT = frozenset({"cuboid", "skeleton"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_HEX = re.compile(r"#([0-9a-fA-F]{6})")


def _recognise(candidate: Candidate) -> bool:
    root = candidate.xml
    return root is not None and root.tag == "annotations"


def _read(candidate: Candidate) -> Annotations:
    root = candidate.xml
    assert root is not None  # as `_recognise` says
    if root.find("track") is not None:
        raise InputError(
            'it is of the form "CVAT for video": export the task as "CVAT for images 1.1"'
        )
    colours = _classes(root)
    images, without, left_out, budget = [], 0, dict[str, None](), PixelBudget()
    for element in root.iter("image"):
        name = plain_name(element.get("name"))
        try:
            image = AnnotatedImage(name, _shapes(element, colours, budget), _size(element))
        except InputError as error:
            raise InputError(f"image '{name}': {error}") from error
        left_out |= dict.fromkeys(one.tag for one in element if one.tag in _LEFT_OUT)
        without += not image.shapes
        images += [image] if image.shapes else []
    return Annotations(
        "CVAT",
        tuple(images),
        tuple(colours.items()),
        sparse=any(is_sparse(image.shapes) for image in images),
        notes=(
            *([f"images without an annotation are left out ({without})"] if without else []),
            *(f"shapes of the type '{kind}' are left out" for kind in left_out),
        ),
    )


def _classes(root: Element) -> dict[str, Colour | None]:
    """Return the labels of the project, task or job, in their order."""
    found: dict[str, Colour | None] = {}
    for label in root.iterfind("meta/*/labels/label"):
        if label.findtext("parent"):  # a point of a skeleton
            continue
        name = (label.findtext("name") or "").strip()
        if not name:
            raise InputError("a label of its <meta> has no name")
        found[name] = _colour(label.findtext("color") or "")
    return found


def _colour(text: str) -> Colour | None:
    match = _HEX.fullmatch(text.strip())
    if match is None:
        return None
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def _size(element: Element) -> tuple[int, int]:
    return checked_size(_number(element, "height"), _number(element, "width"))


def _shapes(
    image: Element, colours: dict[str, Colour | None], budget: PixelBudget
) -> tuple[Shape, ...]:
    """Return the shapes of an image, the lowest first."""
    found = []
    for element in image:
        if element.tag not in _SHAPES:
            continue
        label = (element.get("label") or "").strip()
        if not label:
            raise InputError(f"a {element.tag} has no label")
        colours.setdefault(label, None)  # where the file has no <meta>
        try:
            area = _area(element, budget)
        except InputError as error:
            raise InputError(f"a {element.tag} of '{label}': {error}") from error
        height = _number(element, "z_order") if element.get("z_order") else 0.0
        found.append((height, Shape(label, (area,))))
    return tuple(shape for _, shape in sorted(found, key=lambda pair: pair[0]))


def _area(element: Element, budget: PixelBudget) -> Area:
    kind = element.tag
    if kind == "mask":
        return budget.take(_bitmap(element))
    if kind == "box":
        x0, y0, x1, y1 = (_number(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        return _turned(element, rectangle(x0, y0, x1, y1), ((x0 + x1) / 2, (y0 + y1) / 2))
    if kind == "ellipse":
        x, y, rx, ry = (_number(element, key) for key in ("cx", "cy", "rx", "ry"))
        return _turned(element, ellipse(x, y, rx, ry), (x, y))
    points = _points(element.get("points") or "")
    if kind == "polygon":
        return Polygon(points)
    return Lines(points) if kind == "polyline" else Points(points)


def _turned(element: Element, ring: NDArray[np.float64], about: tuple[float, float]) -> Polygon:
    degrees = _number(element, "rotation") if element.get("rotation") else 0.0
    return Polygon(turned(ring, degrees, about))


def _points(text: str) -> NDArray[np.float64]:
    try:
        pairs = [[float(part) for part in pair.split(",")] for pair in text.split(";") if pair]
    except ValueError:
        raise InputError("its points are no numbers: expected 'x,y;x,y;…'") from None
    return checked_points(pairs, "list of points")


def _number(element: Element, key: str) -> float:
    return number_in(element.get(key, ""), key)


def _bitmap(element: Element) -> Bitmap:
    """Return a mask: run lengths in the order of rows, from outside on, within its frame."""
    top, left = int(_number(element, "top")), int(_number(element, "left"))
    h, w = checked_size(_number(element, "height"), _number(element, "width"))
    try:
        counts = [int(part) for part in (element.get("rle") or "").split(",")]
    except ValueError:
        raise InputError("its run lengths are no numbers: expected '3, 5, …'") from None
    if min(counts) < 0 or sum(counts) != h * w:
        raise InputError(f"its run lengths are not those of a frame of {w}×{h}")
    inside = np.arange(len(counts)) % 2 == 1
    return Bitmap(np.repeat(inside, counts).reshape(h, w), top, left)


def _run_lengths(pixels: NDArray[np.bool_]) -> str:
    flat = pixels.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], [0] if flat[0] else [], changes, [flat.size]])
    return ", ".join(map(str, np.diff(edges).astype(int).tolist()))


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    names = {one.id: one.name for one in classes}
    with out.open("w", encoding="utf-8", newline="\n") as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        )
        _write_labels(file, classes)
        for k, one in enumerate(masks):
            height, width = one.mask.shape
            name = quoteattr(_holdable(prefix + one.name))
            file.write(f'<image id="{k}" name={name} width="{width}" height="{height}">\n')
            for label, bitmap in objects(one.mask, names):
                h, w = bitmap.pixels.shape
                file.write(
                    f'<mask label={quoteattr(names[label])} source="auto" occluded="0" '
                    f'rle="{_run_lengths(bitmap.pixels)}" left="{bitmap.left}" '
                    f'top="{bitmap.top}" width="{w}" height="{h}" z_order="0"></mask>\n'
                )
            file.write("</image>\n")
        file.write("</annotations>\n")


def _holdable(text: str) -> str:
    """Return a text that XML can hold.

    Raises
    ------
    InputError
        If it has a character that XML cannot hold.
    """
    if _CONTROL.search(text):
        raise InputError(f"{text!r} has a control character, which XML cannot hold: rename it")
    return text


def _write_labels(file: TextIO, classes: Sequence[ClassToWrite]) -> None:
    file.write("<meta><task><labels>\n")
    for one in classes:
        colour = f"#{bytes(one.colour).hex()}"
        file.write(
            f"<label><name>{escape(_holdable(one.name))}</name><color>{colour}</color>"
            "<type>any</type><attributes></attributes></label>\n"
        )
    file.write("</labels></task></meta>\n")


CVAT = Format(
    name="cvat",
    title="CVAT",
    recognise=_recognise,
    read=_read,
    write=_write,
    suffix=".xml",
    in_zip=True,
)
