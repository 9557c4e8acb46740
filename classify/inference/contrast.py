"""Colours that are seen over an image: none nearly black, none nearly another's.

An overlay mixes an image half with the classes' colours. Black only darkens it, as shadow does, and
similar colours of a mask can hardly be distinguished over a photograph.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..labels.classes import Colour, default_colour

__all__ = ["cielab", "overlay_colours"]

_DARK = 25.0  # lightness, of 100; of navy 13, of maroon 26
_NEAR, _APART = 20.0, 25.0
_COMPARED = 256  # classes; nobody distinguishes more by colour

# In place of black, which is the first class's: far from all default colours.
_VIOLET: Colour = (165, 0, 255)

# sRGB, IEC 61966-2-1: linear light to CIE XYZ, under D65.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def cielab(colours: ArrayLike) -> NDArray[np.float64]:
    """Return colours in CIELAB, where distance is about how different they look.

    Parameters
    ----------
    colours : array-like of shape (n, 3)
        sRGB, 0 to 255.

    Returns
    -------
    array of shape (n, 3)
        L* from 0, black, to 100, white; a*; b*.

    Examples
    --------
    >>> cielab([(255, 0, 0)]).round(1)
    array([[53.2, 80.1, 67.2]])
    """
    c = np.asarray(colours, np.float64).reshape(-1, 3) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _TO_XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def overlay_colours(colours: Sequence[Colour]) -> tuple[Colour, ...]:
    """Return the colours in which classes are drawn over images.

    Each class's own, unless that is nearly black or nearly that of a class before it: then another
    one, far from all. So masks may have a black background, and models of before keep their
    colours.

    Parameters
    ----------
    colours : sequence of (red, green, blue)
        Of each class.

    Examples
    --------
    >>> overlay_colours([(0, 0, 0), (230, 159, 0)])
    ((165, 0, 255), (230, 159, 0))
    """
    shown, lab = list(colours), cielab(colours)
    unchanged = list[int]()
    for k, colour in enumerate(lab):
        near = k < _COMPARED and _distance(lab[unchanged], colour) < _NEAR
        if colour[0] >= _DARK and not near:
            unchanged.append(k)
    others = [_VIOLET, *(default_colour(k) for k in range(1, _COMPARED))]
    others_lab = cielab(others)
    room = np.array([_distance(lab[unchanged][:_COMPARED], colour) for colour in others_lab])
    for k in sorted(set(range(len(shown))) - set(unchanged)):
        enough = np.flatnonzero(room >= _APART)
        chosen = int(enough[0]) if len(enough) else int(room.argmax())
        if lab[k][0] >= _DARK and _distance(lab[unchanged], lab[k]) > room[chosen]:
            continue  # of so many classes none is far from all
        shown[k] = others[chosen]
        room = np.minimum(room, np.linalg.norm(others_lab - others_lab[chosen], axis=1))
    return tuple(shown)


def _distance(colours: NDArray[np.float64], colour: NDArray[np.float64]) -> float:
    """Return how far a colour is from the nearest of some; infinite from none."""
    return float(np.linalg.norm(colours - colour, axis=1).min(initial=np.inf))
