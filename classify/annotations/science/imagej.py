"""ImageJ's ROI files: one ``.roi``, or a ``.zip`` of them as the ROI Manager saves it.

The class is in a ROI's name, before a number at its end ("cell-12" and "cell 12" are cells). ROIs
with the names that ImageJ makes up ("0123-0456") take their group number ("group 2") instead.

ImageJ counts areas from the corners of pixels, as dseg does, but lines and points from their
centres.

References
----------
``ij.io.RoiDecoder`` of ImageJ, which documents the format; ``ij.gui.Roi`` since 1.52u for what
coordinates refer to.
"""

import logging
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ....store.names import composed
from ..files.format import Candidate, ClassToWrite, Format, MaskToWrite
from ..files.per_image import annotations_of, file_for, image_name, without_ending
from ..shapes.bridges import bridged
from ..shapes.figures import ellipse, rectangle
from ..shapes.limits import MOST_BYTES, MOST_COORDINATE
from ..shapes.model import Annotations, Area, Colour, Lines, Points, Polygon, Shape
from ..shapes.outlines import outlines
from .roi_paths import path_of_rings, rings_of_path

if TYPE_CHECKING:
    from roifile import ImagejRoi

__all__ = ["IMAGEJ", "class_of_name"]

_ENDINGS = (".roi", ".zip")

_ZIP_ERRORS = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zlib.error,
)

_MOST_ROIS = 200_000
"""In a zip file: they take some 20 seconds, and 200 MB of memory."""

_TITLE = "ImageJ"
_POLYGON, _RECT, _OVAL, _LINE, _FREELINE, _POLYLINE, _, _FREEHAND, _TRACED, _, _POINT = range(11)
_SHAPES = (_POLYGON, _RECT, _OVAL, _LINE, _FREELINE, _POLYLINE, _FREEHAND, _TRACED, _POINT)
_NO_SHAPES = (1, 2, 4)  # subtypes: text, arrow, image
_MADE_UP = re.compile(r"\d+(?:-\d+)*(?:\.roi)?")
_NUMBER = re.compile(r"[\s_.#-]+\d+$")
_LONGEST = 1000  # characters of a class's name
_SET = re.compile(r"[_. -]?roi[_ -]?sets?[_. -]?|[_. -]rois?$", re.IGNORECASE)


def class_of_name(name: str) -> str | None:
    """Return the class that a ROI's name tells: what comes before a number at its end.

    Examples
    --------
    >>> class_of_name("red cell_12"), class_of_name("CD4"), class_of_name("0123-0456")
    ('red cell', 'CD4', None)
    """
    name = name.strip().removesuffix(".roi")
    if _MADE_UP.fullmatch(name) or len(name) > _LONGEST:
        return None
    return _NUMBER.sub("", name) or None


def _recognise(candidate: Candidate) -> bool:
    if candidate.head.startswith(b"Iout"):
        return True
    if not candidate.head.startswith(b"PK"):
        return False
    try:
        with candidate.path.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except _ZIP_ERRORS:
        return False


def _read(candidate: Candidate) -> Annotations:
    name = _image(candidate.within)
    shapes: list[Shape] = []
    colours: dict[str, Colour | None] = {}
    left_out = Counter[str]()
    for member, data in _members(candidate):
        roi = _decoded(data, member)
        label = class_of_name(composed(roi.name or member or ""))
        label = label or (f"group {roi.group}" if roi.group else None)
        why = _why_left_out(roi, label)
        areas = () if why else tuple(_areas(roi))
        if label is None or why or not areas:
            left_out[why or "they are empty"] += 1
            continue
        shapes.append(Shape(label, areas))
        colours[label] = colours.get(label) or _colour(roi)
    notes = [f"{count} ROIs are left out: {why}" for why, count in left_out.items()]
    if not shapes:
        raise InputError(
            f"no ROI has a class ({'; '.join(notes)}): in ImageJ's ROI Manager rename them as "
            "their class and a number ('cell-1'), or give them group numbers"
        )
    return annotations_of(_TITLE, name, shapes, colours, notes)


def _image(within: str) -> str:
    """Return the image's name: 7 of 7.zip, 7_RoiSet.zip, RoiSet_7.zip and 7.tif.roi."""
    folder, slash, last = within.rpartition("/")
    name = _SET.sub("", without_ending(last, _ENDINGS) or last)
    if not name:
        raise InputError("it does not tell its image: name it as the image is, as 7.zip for 7.png")
    return image_name(folder + slash + name)


def _members(candidate: Candidate) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each ROI in a file; no name for a ``.roi``."""
    try:
        if candidate.head.startswith(b"Iout"):
            with candidate.path.open("rb") as opened:
                yield "", _bounded(opened.read(MOST_BYTES + 1), MOST_BYTES)
            return
        with zipfile.ZipFile(candidate.path) as archive:
            yield from _unpacked(archive)
    except _ZIP_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"it cannot be unpacked: {error}") from error


def _unpacked(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".roi")]
    if len(entries) > _MOST_ROIS:
        raise InputError(f"it has {len(entries)} ROIs: {_MOST_ROIS} are the most")
    left = MOST_BYTES
    for entry in entries:
        with archive.open(entry) as opened:
            data = _bounded(opened.read(left + 1), left)
        left -= len(data)
        yield entry.filename.rpartition("/")[2], data


def _bounded(data: bytes, most: int) -> bytes:
    if len(data) > most:
        raise InputError(
            f"it has more than {MOST_BYTES // 2**20} MiB of ROIs, the most that dseg reads"
        )
    return data


def _decoded(data: bytes, member: str) -> "ImagejRoi":
    import roifile

    logging.getLogger(
        "roifile"
    ).disabled = True  # what is odd about a ROI is told below, or does not matter
    try:
        return roifile.ImagejRoi.frombytes(data)
    except Exception as error:  # whatever it makes of damaged bytes
        raise InputError(f"{member or 'it'} cannot be read as a ROI: is it damaged?") from error


def _why_left_out(roi: "ImagejRoi", label: str | None) -> str | None:
    if roi.subtype in _NO_SHAPES or roi.roitype not in _SHAPES:
        return "they are texts, arrows, images or angles"
    if max(roi.z_position, roi.t_position) > 1 or (roi.position > 1 and not roi.c_position):
        return "they lie on further slices or frames, and dseg reads the first"
    return "they have neither a name nor a group" if label is None else None


def _colour(roi: "ImagejRoi") -> Colour | None:
    for argb in (roi.fill_color, roi.stroke_color):
        if argb[0]:
            return argb[1], argb[2], argb[3]
    return None


def _areas(roi: "ImagejRoi") -> Iterator[Area]:
    if roi.composite:
        rings = rings_of_path(_checked(roi.multi_coordinates))
        if rings:
            yield Polygon(bridged(rings))
    elif roi.roitype in (_RECT, _OVAL):
        x0, y0, x1, y1 = _checked(_box(roi)).tolist()
        if roi.roitype == _OVAL:
            yield Polygon(ellipse((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2))
        else:
            yield Polygon(rectangle(x0, y0, x1, y1))
    elif roi.roitype == _LINE:
        yield Lines(_checked([[roi.x1, roi.y1], [roi.x2, roi.y2]]) + 0.5, _width(roi))
    else:
        xy = _checked(roi.coordinates())
        if not len(xy):
            return
        if roi.roitype == _POINT:
            yield Points(xy + 0.5)
        elif roi.roitype in (_FREELINE, _POLYLINE):
            yield Lines(xy + 0.5, _width(roi))
        else:
            yield Polygon(xy)


def _checked(xy: object) -> NDArray[np.float64]:
    found = np.asarray(xy, np.float64)
    if not (np.abs(found) <= MOST_COORDINATE).all():
        raise InputError(
            f"a ROI has a coordinate that is not finite, or beyond {MOST_COORDINATE:.0e} pixels"
        )
    return found


def _box(roi: "ImagejRoi") -> tuple[float, float, float, float]:
    """Return left, top, right and bottom."""
    if roi.subpixelrect:
        return roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    return roi.left, roi.top, roi.right, roi.bottom


def _width(roi: "ImagejRoi") -> float:
    for width in (roi.float_stroke_width, roi.stroke_width):
        if 0 < width <= 1000:
            return float(width)
    return 1.0


def _write(
    masks: Iterable[MaskToWrite], classes: Sequence[ClassToWrite], out: Path, prefix: str
) -> None:
    """Write a zip file for each mask, with a ROI for each object."""
    named = {one.id: one for one in classes}
    for item in masks:
        file = file_for(out, item.name, ".zip")
        counts = Counter[int]()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for k, polygon in outlines(item.mask, named):
                counts[k] += 1
                roi = _roi(polygon, named[k], counts[k])
                member = roi.name.replace("/", "_").replace("\\", "_")
                archive.writestr(f"{member}.roi", roi.tobytes())


def _roi(polygon: Polygon, one: ClassToWrite, number: int) -> "ImagejRoi":
    """Return the ROI of an object; with holes it is a composite one."""
    from roifile import ROI_TYPE, ImagejRoi

    roi = ImagejRoi.frompoints(polygon.exterior.astype(np.int32), name=f"{one.name}-{number}")
    roi.roitype = ROI_TYPE.POLYGON
    roi.right, roi.bottom = (int(edge) for edge in polygon.exterior.max(axis=0))
    roi.stroke_color = bytes((255, *one.colour))
    if polygon.holes:
        roi.roitype = ROI_TYPE.RECT
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.multi_coordinates = path_of_rings([polygon.exterior, *polygon.holes])
        roi.n_coordinates, roi.shape_roi_size = 0, len(roi.multi_coordinates)
    return roi


IMAGEJ = Format("imagej", _TITLE, _recognise, _read, _write, target="folder", orders_classes=False)
