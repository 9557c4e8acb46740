"""Figures that several formats draw: rectangles, turned ones, ellipses, as polygons."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .model import Lines, Points, Shape

__all__ = ["ellipse", "is_sparse", "rectangle", "turned"]

_CORNERS = 256
"""Of an ellipse: within a quarter of a pixel up to a radius of 3000 pixels."""


def rectangle(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float64]:
    """Return the corners of an upright rectangle, of shape (4, 2)."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)


def ellipse(x: float, y: float, rx: float, ry: float) -> NDArray[np.float64]:
    """Return the outline of an upright ellipse, of shape (n, 2): centre and radii in pixels."""
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def turned(
    points: NDArray[np.float64], degrees: float, about: tuple[float, float]
) -> NDArray[np.float64]:
    """Return points turned clockwise, as one sees them, about a point.

    Examples
    --------
    >>> turned(np.float64([(2, 0)]), 90, (0, 0)).round(9) + 0.0
    array([[0., 2.]])
    """
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([(cos, sin), (-sin, cos)], np.float64)
    found: NDArray[np.float64] = (points - about) @ matrix + about
    return found


def is_sparse(shapes: Iterable[Shape]) -> bool:
    """Whether shapes are strokes or points, beside which nothing is said of other pixels."""
    return any(isinstance(area, Points | Lines) for shape in shapes for area in shape.areas)
