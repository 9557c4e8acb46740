"""Whether shapes of different classes lie over each other: then their order counts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from .model import AnnotatedImage, Area, Bitmap, Lines, Points, Polygon
from .rasterise import rasterise

__all__ = ["note_of_overlaps"]

_SIDE = 200
"""Cells of an image's longer side, on which shapes are drawn: in a thousandth of the time."""

_FEW = 1 / 200
"""Of an image: what less of it is covered twice is the borders of neighbours."""

_MOST_LABELS = 60_000
"""In an image: their ids have 16 bits."""


def note_of_overlaps(images: Iterable[AnnotatedImage]) -> tuple[str, ...]:
    """Return a note if shapes of different classes cover much of each other in an image.

    Parameters
    ----------
    images : iterable of AnnotatedImage
        Those whose size is not stated are not looked at.

    Returns
    -------
    tuple of str
        One, or none.

    Raises
    ------
    InputError
        If shapes cannot be drawn.
    """
    pairs = Counter[tuple[str, str]]()
    for image in images:
        pairs.update(_overlapping(image))
    if not pairs:
        return ()
    (below, above), times = pairs.most_common(1)[0]
    others = f" and {len(pairs) - 1} other pairs of classes" if len(pairs) > 1 else ""
    return (
        f"shapes of '{above}' cover shapes of '{below}' (images: {times}){others}: what comes "
        "later in the file counts",
    )


def _overlapping(image: AnnotatedImage) -> Iterator[tuple[str, str]]:
    """Yield which classes are covered by which, on a coarse grid."""
    labels = dict.fromkeys(shape.label for shape in image.shapes if shape.label is not None)
    if image.size is None or not 2 <= len(labels) < _MOST_LABELS:
        return
    step = -(-max(image.size) // _SIDE)
    size = -(-image.size[0] // step), -(-image.size[1] // step)
    shapes = tuple(
        replace(shape, areas=tuple(_coarse(area, step) for area in shape.areas))
        for shape in image.shapes
    )
    covered = Counter[tuple[str, str]]()
    ids = {label: k for k, label in enumerate(labels, 1)}
    coarse = AnnotatedImage(image.name, shapes)
    rasterise(coarse, ids, size, background=0, ignored=len(ids) + 1, overlaps=covered)
    yield from (pair for pair, cells in covered.items() if cells > _FEW * size[0] * size[1])


def _coarse(area: Area, step: int) -> Area:
    """Return an area in cells of so many pixels, which begin where the image does."""
    if isinstance(area, Polygon):
        return Polygon(area.exterior / step, tuple(hole / step for hole in area.holes))
    if isinstance(area, Bitmap):
        y, x = -area.top % step, -area.left % step
        pixels = np.ascontiguousarray(area.pixels[y::step, x::step])
        return Bitmap(pixels, (area.top + y) // step, (area.left + x) // step)
    if isinstance(area, Lines):
        return Lines(area.vertices / step, area.width / step)
    return Points(area.centres / step, area.radius / step)
