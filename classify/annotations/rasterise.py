"""Shapes to pixels: the label map of an image from what an annotation file says of it.

One rule for all: a pixel belongs to an area if its centre, (x + 0.5, y + 0.5), is inside.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from .limits import MOST_COORDINATE, MOST_PIXELS
from .model import AnnotatedImage, Area, Bitmap, Lines, Points, Polygon
from .scanline import Patch, enclosed

__all__ = ["MOST_WORK", "bitmap_of", "rasterise"]

MOST_WORK = 2**34
"""Pixels that the shapes of one image may cover, counted by their frames: a minute or two."""

_EACH = 10_000
"""What drawing one small area costs, in pixels."""


def rasterise(
    image: AnnotatedImage,
    ids: Mapping[str, int],
    size: tuple[int, int],
    *,
    background: int,
    ignored: int,
    overlaps: Counter[tuple[str, str]] | None = None,
) -> NDArray[np.uint16]:
    """Draw the shapes of an image, in their order.

    A pixel belongs to a polygon if its centre is inside (even-odd within each outline) and in none
    of its holes; to a stroke if its centre is within half the width (at least half a pixel) of the
    line; to a disc if its centre is within the radius. The pixels that hold the vertices of a
    stroke, and the centres of points, always belong.

    Parameters
    ----------
    image : AnnotatedImage
    ids : mapping of str to int
        Id of each label, 0 to 65535.
    size : (height, width)
        Of the image; shapes are cut off at its edge.
    background, ignored : int
        What pixels without a shape get, and those of shapes without a label.
    overlaps : Counter, optional
        Is added to: how many pixels of one label are covered by a shape of another, by both
        labels. Takes longer.

    Returns
    -------
    array of shape (height, width), uint16

    Raises
    ------
    InputError
        If the size is beyond `MOST_PIXELS`, coordinates are not finite or beyond
        `MOST_COORDINATE`, a shape is too complex, a label has no id, or all shapes together cover
        more than `MOST_WORK`. The message names the image.
    """
    try:
        return _rasterised(image, ids, size, background, ignored, overlaps)
    except InputError as error:
        raise InputError(f"the shapes of '{image.name}' cannot be drawn: {error}") from error


def _rasterised(
    image: AnnotatedImage,
    ids: Mapping[str, int],
    size: tuple[int, int],
    background: int,
    ignored: int,
    overlaps: Counter[tuple[str, str]] | None,
) -> NDArray[np.uint16]:
    if size[0] * size[1] > MOST_PIXELS:
        raise InputError(
            f"the image has {size[1]}×{size[0]} pixels, {MOST_PIXELS} are the most that dseg reads"
        )
    label_map = np.full(size, background, np.uint16)
    covered = None if overlaps is None else _Covered(ids, size)
    work = 0
    for shape in image.shapes:
        value = ignored if shape.label is None else _id_of(shape.label, ids)
        for area in shape.areas:
            for top, left, pixels in _patches(area, size):
                work += pixels.size + _EACH
                if work > MOST_WORK:
                    raise InputError(
                        f"together they cover more than {MOST_WORK} pixels: is the file damaged?"
                    )
                frame = slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1])
                if covered is not None and overlaps is not None:
                    overlaps.update(covered.by(shape.label, label_map, frame, pixels))
                label_map[frame][pixels] = value
    return label_map


class _Covered:
    """Knows which pixels have been drawn.

    Parameters
    ----------
    ids : mapping of str to int
    size : (height, width)
    """

    def __init__(self, ids: Mapping[str, int], size: tuple[int, int]) -> None:
        self._names = {k: name for name, k in ids.items()}
        self._drawn = np.zeros(size, np.bool_)

    def by(
        self,
        label: str | None,
        label_map: NDArray[np.uint16],
        frame: tuple[slice, slice],
        pixels: NDArray[np.bool_],
    ) -> dict[tuple[str, str], int]:
        """Return how many pixels of each label a shape is about to cover; remember what it draws.

        Parameters
        ----------
        label : str or None
            Of the shape.
        label_map : array of shape (H, W), uint16
        frame : tuple of slice
            Where the shape's pixels are.
        pixels : array of shape (h, w), bool
        """
        drawn = self._drawn[frame]
        ids, counts = np.unique(label_map[frame][drawn & pixels], return_counts=True)
        drawn |= pixels
        under = zip((self._names.get(int(k)) for k in ids), counts.tolist(), strict=True)
        if label is None:
            return {}
        return {(name, label): n for name, n in under if name is not None and name != label}


def _id_of(label: str, ids: Mapping[str, int]) -> int:
    if label not in ids:
        raise InputError(f"the label '{label}' has no class id: it is none of the classes")
    return ids[label]


def _patches(area: Area, size: tuple[int, int]) -> Iterator[Patch]:
    """Yield what an area covers of an image, in parts that may overlap."""
    if isinstance(area, Bitmap):
        yield from _of_bitmap(area, size)
    elif isinstance(area, Polygon):
        yield from _of_polygon(area, size)
    elif isinstance(area, Lines):
        yield from _of_lines(area, size)
    else:
        yield from _of_points(area, size)


def _of_bitmap(bitmap: Bitmap, size: tuple[int, int]) -> Iterator[Patch]:
    top, left = max(bitmap.top, 0), max(bitmap.left, 0)
    rows = slice(top - bitmap.top, max(size[0] - bitmap.top, 0))
    columns = slice(left - bitmap.left, max(size[1] - bitmap.left, 0))
    pixels = bitmap.pixels[rows, columns]
    if pixels.size:
        yield top, left, pixels


def _of_polygon(polygon: Polygon, size: tuple[int, int]) -> Iterator[Patch]:
    _check(polygon.exterior)
    patch = enclosed(polygon.exterior, size)
    if patch is None:
        return
    top, left, pixels = patch
    for hole in polygon.holes:
        _check(hole)
        cut = enclosed(hole, size)
        if cut is not None:
            _remove(pixels, cut[0] - top, cut[1] - left, cut[2])
    yield top, left, pixels


def _remove(pixels: NDArray[np.bool_], top: int, left: int, cut: NDArray[np.bool_]) -> None:
    """Remove a hole, which lies at (top, left) of the pixels and may stand out."""
    height, width = cut.shape
    y, x = max(top, 0), max(left, 0)
    kept = pixels[y : max(top + height, 0), x : max(left + width, 0)]
    kept &= ~cut[y - top :, x - left :][: kept.shape[0], : kept.shape[1]]


def bitmap_of(polygon: Polygon, size: tuple[int, int]) -> Bitmap:
    """Return the pixels of a polygon, by the rule of `rasterise`.

    Examples
    --------
    >>> bitmap_of(Polygon(np.float64([(1, 1), (3, 1), (3, 2), (1, 2)])), (5, 5)).pixels.sum()
    np.int64(2)
    """
    found = list(_of_polygon(polygon, size))
    return Bitmap(found[0][2], *found[0][:2]) if found else Bitmap(np.zeros((0, 0), np.bool_))


def _of_lines(lines: Lines, size: tuple[int, int]) -> Iterator[Patch]:
    _check(lines.vertices, lines.width)
    radius = max(lines.width, 1.0) / 2
    yield from _of_points(Points(lines.vertices, radius), size)
    starts, stops = lines.vertices[:-1], lines.vertices[1:]
    along = stops - starts
    length = np.hypot(along[:, 0], along[:, 1])
    moved = length > 0
    starts, stops, along = starts[moved], stops[moved], along[moved]
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) * (radius / length[moved])[:, None]
    corners = np.stack([starts + aside, stops + aside, stops - aside, starts - aside], axis=1)
    for rectangle in corners:
        patch = enclosed(rectangle, size)
        if patch is not None:
            yield patch


def _of_points(points: Points, size: tuple[int, int]) -> Iterator[Patch]:
    _check(points.centres, points.radius)
    height, width = size
    for x, y in points.centres.tolist():
        column, row = int(np.floor(x)), int(np.floor(y))
        if 0 <= column < width and 0 <= row < height:
            yield row, column, np.ones((1, 1), np.bool_)
        r = points.radius
        top, bottom = (min(max(int(edge), 0), height) for edge in (y - r, y + r + 1))
        left, right = (min(max(int(edge), 0), width) for edge in (x - r, x + r + 1))
        if r > 0 and top < bottom and left < right:
            from_y = np.arange(top, bottom)[:, None] + 0.5 - y
            from_x = np.arange(left, right)[None, :] + 0.5 - x
            yield top, left, from_y**2 + from_x**2 < r**2


def _check(coordinates: NDArray[np.float64], length: float = 0.0) -> None:
    if coordinates.ndim != 2 or coordinates.shape[1:] != (2,):
        raise InputError(f"coordinates have the shape {coordinates.shape}: expected (n, 2)")
    if not (np.abs(coordinates) <= MOST_COORDINATE).all() or not 0 <= length <= MOST_COORDINATE:
        raise InputError(
            f"a coordinate or length is not finite, or beyond {MOST_COORDINATE:.0e} pixels"
        )
