"""A tree: a trunk and a crown of leaves or needles; and a bush, a crown alone."""

import numpy as np

from .canvas import Canvas, Colour, Light, Point, Surface
from .kinds import Kind
from .paints import scaled, vary

__all__ = ["draw_bush", "draw_tree"]

LEAVES: tuple[Colour, ...] = (
    (70, 115, 55), (105, 140, 60), (45, 85, 60), (200, 140, 45), (180, 75, 45),
    (215, 185, 75), (225, 160, 175), (120, 105, 70), (90, 125, 120),
)  # fmt: skip
BARK: tuple[Colour, ...] = ((95, 70, 50), (130, 105, 80), (75, 65, 62), (205, 200, 190))


def draw_tree(
    canvas: Canvas, foot: Point, height: float, light: Light, rng: np.random.Generator
) -> None:
    """Draw a tree that stands on `foot` and is `height` heights of the image tall."""
    x, base = foot
    half = height * rng.uniform(0.035, 0.06)
    bare = rng.uniform(0.3, 0.45)  # how much of the height is trunk alone
    spread = height * rng.uniform(0.2, 0.32)
    lean = height * rng.normal(0, 0.03)
    canvas.ellipse((x - light.side * spread, base), (1.3 * spread, 0.055 * height + 0.006))
    bark, rings = vary(BARK[rng.integers(len(BARK))], rng), (0.6 / half, 2.0 / height, 0.12)
    trunk = Surface(Kind.TRUNK, bark, (0.35 * light.side, 0), 0.07, 0.06, rings)
    fork = base - height * (bare + 0.15)
    canvas.polygon(
        [(x - 1.3 * half, base), (x + 1.3 * half, base), (x + 0.8 * half + lean, fork),
         (x - 0.8 * half + lean, fork)], trunk
    )  # fmt: skip
    leaves = vary(LEAVES[rng.integers(len(LEAVES))], rng, 12)
    crown = (x + lean, base - bare * height, base - height)
    if rng.random() < 0.3:
        _needles(canvas, crown, 0.8 * spread, leaves, light, rng)
        return
    twig = base - height * bare * 0.9
    side = float(rng.choice([-1.0, 1.0]))
    canvas.polygon(
        [(x + lean * 0.6, twig + half), (x + side * 0.6 * spread, twig - 0.12 * height),
         (x + lean * 0.6, twig - half)], trunk
    )  # fmt: skip
    _leaves(canvas, crown, spread, leaves, light, rng)


def draw_bush(
    canvas: Canvas, foot: Point, height: float, light: Light, rng: np.random.Generator
) -> None:
    """Draw a crown that lies on the ground."""
    x, base = foot
    leaves = vary(LEAVES[rng.integers(len(LEAVES))], rng, 12)
    spread = height * rng.uniform(0.7, 1.1)
    canvas.ellipse((x - 0.4 * light.side * height, base), (1.2 * spread, 0.15 * height))
    _leaves(canvas, (x, base, base - height), spread, leaves, light, rng, n=6)


def _leaves(
    canvas: Canvas,
    crown: tuple[float, float, float],
    spread: float,
    colour: Colour,
    light: Light,
    rng: np.random.Generator,
    n: int = 11,
) -> None:
    """Draw a cluster of clumps, each lit from one side and from above: dark ones first."""
    x, bottom, top = crown
    middle, half = (bottom + top) / 2, (bottom - top) / 2
    angles = rng.uniform(0, 2 * np.pi, n)
    reach = np.sqrt(rng.uniform(0, 1, n)) * 0.62
    u, v = reach * np.cos(angles), reach * np.sin(angles)
    lit = 0.5 * light.side * u - 0.6 * v
    for i in np.argsort(lit):
        size = rng.uniform(0.36, 0.52)
        shade = scaled(vary(colour, rng, 4), 0.95 + 0.5 * float(lit[i]))
        clump = Surface(Kind.CROWN, shade, (0.14 * light.side, -0.2), 0.13, 0.09)
        centre = (x + float(u[i]) * spread, middle + float(v[i]) * half)
        canvas.ellipse(centre, (size * spread, size * half), clump)


def _needles(
    canvas: Canvas,
    crown: tuple[float, float, float],
    spread: float,
    colour: Colour,
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Draw tiers of boughs, the lowest first."""
    x, bottom, top = crown
    tiers = int(rng.integers(3, 6))
    step = (bottom - top) / tiers
    for tier in range(tiers):
        low = bottom - tier * step
        wide = spread * (1 - 0.8 * tier / tiers)
        peak = max(low - 1.8 * step, top)
        for side in (-1.0, 1.0):
            shade = scaled(colour, 0.9 + 0.22 * side * light.side)
            bough = Surface(Kind.CROWN, shade, (0.0, -0.15), 0.12, 0.07)
            canvas.polygon([(x, peak), (x, low), (x + side * wide, low + 0.15 * step)], bough)
