"""A scale of one hue whose steps look equal: from nearly white to a dark blue.

Lightness L falls evenly in Oklab, a space made so that equal distances look equal; the hue stays;
the chroma C is that of a screen's blues, none at the white end:

    a, b = C cos h, C sin h
    l, m, s = (M2 (L, a, b))^3
    linear RGB = M1 (l, m, s)

References
----------
Ottosson, "A perceptual color space for image processing", 2020: Oklab and its matrices.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["scale", "tinted"]

M1 = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
M2 = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
HUE, CHROMA = np.deg2rad(264), 0.12
LIGHT, DARK = 0.985, 0.25


def scale(n: int = 256) -> NDArray[np.uint8]:
    """Return the scale's colours, uint8 (n, 3), the lightest first.

    Examples
    --------
    >>> scale(3).tolist()
    [[250, 250, 250], [96, 131, 206], [3, 24, 90]]
    """
    share = np.linspace(0, 1, n)
    chroma = CHROMA * np.minimum(1, 2.2 * share)
    lab = np.stack(
        [LIGHT + (DARK - LIGHT) * share, chroma * np.cos(HUE), chroma * np.sin(HUE)], axis=-1
    )
    linear = ((lab @ M2.T) ** 3 @ M1.T).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colours: NDArray[np.uint8] = (255 * encoded).round().astype(np.uint8)
    return colours


def tinted(values: NDArray[np.floating], top: float) -> NDArray[np.uint8]:
    """Return values from 0 to ``top`` as colours, uint8 (..., 3); others as the nearest end's.

    Examples
    --------
    >>> tinted(np.array([0.0, 2.0, 9.0]), 2.0).tolist()
    [[250, 250, 250], [3, 24, 90], [3, 24, 90]]
    """
    if not top > 0:
        raise ValueError(f"a scale needs a top above 0, got {top}")
    steps = (255 * values / top).clip(0, 255).round().astype(np.uint8)
    return scale()[steps]
