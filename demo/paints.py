"""Colours of a scene: many things draw from one set, so that colour does not tell a class."""

import colorsys

import numpy as np

from .canvas import Colour

__all__ = ["between", "paints", "scaled", "vary"]


def paints(rng: np.random.Generator, n: int = 6) -> list[Colour]:
    """Return colours for walls, roofs, doors and cars alike: apart in brightness, any in hue."""
    values = rng.permutation(np.linspace(0.28, 0.95, n)) + rng.uniform(-0.05, 0.05, n)
    colours = []
    for value in values:
        hue, strength = rng.random(), rng.choice([0.08, 0.35, 0.6], p=[0.25, 0.4, 0.35])
        saturation = strength * rng.uniform(0.7, 1.2)
        r, g, b = colorsys.hsv_to_rgb(hue, saturation, float(np.clip(value, 0, 1)))
        colours.append((255 * r, 255 * g, 255 * b))
    return colours


def vary(colour: Colour, rng: np.random.Generator, by: float = 10.0) -> Colour:
    """Return a colour near another one."""
    r, g, b = np.clip(np.array(colour) + rng.normal(0, by) + rng.normal(0, by / 2, 3), 0, 255)
    return float(r), float(g), float(b)


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a colour in more or less light."""
    r, g, b = (min(255.0, channel * factor) for channel in colour)
    return r, g, b


def between(one: Colour, other: Colour, share: float) -> Colour:
    """Return a mixture: `share` of the other colour in one."""
    r, g, b = (a + share * (c - a) for a, c in zip(one, other, strict=True))
    return r, g, b
