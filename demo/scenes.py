"""Drawn scenes: houses, trees and cars on a road, each with its exact label map.

A scene is a function of its seed alone. Colours are drawn anew in each: walls, roofs, doors and
cars share them, and horizon, road and sizes differ, so that neither a pixel's colour nor its place
tells its class.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .canvas import Canvas, Colour, Light, Point, Surface
from .car import draw_car
from .house import draw_house
from .kinds import CLASSES, COLOURS, Kind
from .paints import between, paints, vary
from .tree import draw_bush, draw_tree

__all__ = [
    "CLASSES",
    "COLOURS",
    "DEMO_SEEDS",
    "TRAINING_SEEDS_FROM",
    "Scene",
    "draw_scene",
    "write_scenes",
]

DEMO_SEEDS = range(72)
"""Scenes of ``dseg demo``: the first 12 labelled, the others to predict."""

TRAINING_SEEDS_FROM = 100_000
"""The built-in checkpoint has seen scenes from this seed on, and none below."""

SKIES: tuple[tuple[Colour, Colour], ...] = (  # zenith and horizon
    ((75, 130, 205), (185, 212, 235)), ((120, 165, 215), (225, 230, 230)),
    ((150, 155, 165), (200, 203, 205)), ((95, 90, 140), (240, 170, 130)),
    ((70, 110, 150), (245, 215, 165)), ((175, 195, 215), (240, 235, 225)),
)  # fmt: skip
GROUNDS: tuple[Colour, ...] = (
    (105, 140, 70), (140, 155, 85), (80, 120, 75), (195, 175, 130), (150, 120, 85),
    (225, 228, 235), (165, 140, 70), (120, 115, 105),
)  # fmt: skip
ROADS: tuple[Colour, ...] = ((95, 97, 102), (135, 133, 130), (70, 72, 80), (165, 145, 120))


@dataclass(frozen=True)
class Scene:
    """A drawn picture and what is on it.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    label : uint8 array of shape (H, W)
        Ids of `CLASSES`; every pixel has one.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]


@dataclass(frozen=True)
class _Land:
    """Where things may stand: y of the horizon, of the road's two edges; how far away they look."""

    horizon: float
    road: tuple[float, float]

    def size(self, y: float) -> float:
        """Return how large a thing at y looks, 1 at the lower edge of the picture."""
        return 0.42 + 0.58 * (y - self.horizon) / (1 - self.horizon)


def draw_scene(seed: int, size: tuple[int, int] = (128, 128)) -> Scene:
    """Return the scene of a seed.

    Parameters
    ----------
    seed : int
        0 or more. The same seed gives the same bytes, on one machine; another processor's sine may
        differ in its last bit, and a pixel's grey level with it.
    size : tuple of 2 ints
        Height and width in pixels.

    Examples
    --------
    >>> scene = draw_scene(0, (32, 48))
    >>> scene.image.shape, scene.label.shape
    ((32, 48, 3), (32, 48))
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size)
    sky = SKIES[rng.integers(len(SKIES))]
    light = _light(sky[1], rng)
    land = _backdrop(canvas, sky, light, rng)
    for _, draw in sorted(_things(canvas, land, light, rng), key=lambda thing: thing[0]):
        draw()
    return Scene(canvas.photograph(light, rng), canvas.label())


def write_scenes(folder: Path, seeds: Iterable[int], size: tuple[int, int] = (128, 128)) -> None:
    """Write ``scene_<seed>.ppm`` for each seed: uncompressed, so that bytes depend on pixels alone.

    Parameters
    ----------
    folder : path
        Made if missing; files of the same name are replaced.
    seeds : ints
    size : tuple of 2 ints
        Height and width in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        Image.fromarray(draw_scene(seed, size).image).save(folder / f"scene_{seed}.ppm")


def _light(air: Colour, rng: np.random.Generator) -> Light:
    warm = rng.normal(0, 0.05)
    gain = rng.uniform(0.82, 1.1)
    return Light(
        side=float(rng.choice([-1, 1]) * rng.uniform(0.3, 1)),
        tint=(gain * (1 + warm), gain, gain * (1 - warm)),
        haze=air,
        shadow=float(rng.uniform(0.2, 0.5)),
        falloff=(float(rng.normal(0, 0.06)), float(rng.normal(0, 0.05))),
        blur=float(rng.uniform(0.2, 0.7)),
        noise=float(rng.uniform(1, 4)),
    )


def _backdrop(
    canvas: Canvas, sky: tuple[Colour, Colour], light: Light, rng: np.random.Generator
) -> _Land:
    """Draw sky, hills, ground and road."""
    horizon = rng.uniform(0.34, 0.58)
    top = horizon + (1 - horizon) * rng.uniform(0.3, 0.6)
    land = _Land(horizon, (top, top + (1 - horizon) * rng.uniform(0.22, 0.36)))
    _sky(canvas, sky, horizon, rng)
    ground = vary(GROUNDS[rng.integers(len(GROUNDS))], rng)
    for far in (0.6, 0.4)[: rng.integers(3)]:
        _hills(canvas, horizon, between(ground, light.haze, 0.2), far, rng)
    meadow = Surface(Kind.GROUND, ground, (0, -0.06), 0.05, 0.05, (0, rng.uniform(0, 12), 0.03))
    canvas.rectangle(0, horizon, canvas.width, 1, meadow)
    _road(canvas, land, rng)
    return land


def _sky(
    canvas: Canvas, sky: tuple[Colour, Colour], horizon: float, rng: np.random.Generator
) -> None:
    """Draw the sky in strips from zenith to horizon, with more or less cloud."""
    cloud, strips, w = rng.uniform(0.01, 0.05), 24, canvas.width
    canvas.rectangle(0, 0, w, 1, Surface(Kind.SKY, sky[1], grain=0.0))
    for strip in range(strips):
        colour = between(*sky, (strip + 0.5) / strips)
        top, low = strip * horizon / strips, (strip + 1) * horizon / strips
        air = Surface(Kind.SKY, colour, grain=0.0, blotch=cloud)
        canvas.rectangle(0, top, w, low, air)


def _hills(
    canvas: Canvas, horizon: float, colour: Colour, far: float, rng: np.random.Generator
) -> None:
    x = np.linspace(0, canvas.width, 40)
    height = rng.uniform(0.03, 0.14) * (0.4 + far)
    waves = np.sin(x * rng.uniform(2, 6) + rng.uniform(0, 6)) + 0.4 * np.sin(
        x * rng.uniform(8, 16) + rng.uniform(0, 6)
    )
    ridge = horizon - height * (1 + waves) / 1.6
    points = list(zip(x.tolist(), np.minimum(ridge, horizon).tolist(), strict=True))
    hill = Surface(Kind.GROUND, colour, (0, 0), 0.03, 0.05, distance=far)
    canvas.polygon([*points, (canvas.width, 1), (0, 1)], hill)


def _road(canvas: Canvas, land: _Land, rng: np.random.Generator) -> None:
    """Draw a road across the picture, at times with a kerb or a line, and a path to the back."""
    (top, low), w = land.road, canvas.width
    tilt = rng.normal(0, 0.015)
    colour = vary(ROADS[rng.integers(len(ROADS))], rng)
    tar = Surface(Kind.ROAD, colour, (0, 0.04), 0.04, 0.04)
    if rng.random() < 0.5:
        near, far = rng.uniform(0, w), rng.uniform(0, w)
        half, tip = rng.uniform(0.04, 0.08), land.horizon + 0.005
        canvas.polygon([(near - half, top), (near + half, top), (far + 0.03, tip), (far, tip)], tar)
    if rng.random() < 0.5:
        kerb = Surface(Kind.ROAD, vary((190, 188, 180), rng))
        canvas.polygon([(0, top - tilt - 0.012), (w, top + tilt - 0.012), (w, low), (0, low)], kerb)
    canvas.polygon([(0, top - tilt), (w, top + tilt), (w, low + tilt), (0, low - tilt)], tar)
    if rng.random() < 0.6:
        _dashes(canvas, ((top + low) / 2, tilt), rng)


def _dashes(canvas: Canvas, line: tuple[float, float], rng: np.random.Generator) -> None:
    (y, tilt), w, paint = line, canvas.width, vary((232, 228, 205), rng)
    start, step, long = rng.uniform(-0.2, 0), rng.uniform(0.16, 0.28), rng.uniform(0.06, 0.12)
    for x in np.arange(start, w, step):
        a, b = (y + tilt * (2 * at / w - 1) for at in (x, x + long))
        dash = Surface(Kind.ROAD, paint)
        canvas.polygon([(x, a), (x + long, b), (x + long, b + 0.014), (x, a + 0.014)], dash)


def _things(
    canvas: Canvas, land: _Land, light: Light, rng: np.random.Generator
) -> list[tuple[float, Callable[[], None]]]:
    """Return the y each thing stands at (nearer ones are drawn later) and what draws it."""
    colours, w, (top, low) = paints(rng), canvas.width, land.road
    things: list[tuple[float, Callable[[], None]]] = []

    def add(draw: Callable[..., None], foot: Point, size: float, *paint: Any) -> None:
        own = rng.spawn(1)[0]
        things.append((foot[1], partial(draw, canvas, foot, size, *paint, light, own)))

    houses = int(rng.choice([1, 2, 3], p=[0.4, 0.45, 0.15]))
    for slot in rng.permutation(houses):
        x = w * (slot + rng.uniform(0.25, 0.75)) / houses
        y = rng.uniform(land.horizon + 0.04, top - 0.02)
        width = min(land.size(y) * rng.uniform(0.45, 0.75), max(0.75 * w / houses, 0.28))
        some = rng.permutation(len(colours))[:3]
        add(draw_house, (x, y), width, tuple(vary(colours[i], rng, 6) for i in some))
    for _ in range(int(rng.choice([1, 2], p=[0.55, 0.45]))):
        x, y = w * rng.uniform(0.1, 0.9), rng.uniform(top + 0.35 * (low - top), low - 0.01)
        length = land.size(y) * rng.uniform(0.38, 0.62)
        add(draw_car, (x, y), length, vary(colours[rng.integers(len(colours))], rng, 6))
    for draw, least, most, heights in (
        (draw_tree, 1, 5, (0.5, 1.0)),
        (draw_bush, 0, 3, (0.1, 0.22)),
    ):
        for _ in range(int(rng.integers(least, most))):
            x, y = w * rng.uniform(0.02, 0.98), _beside_road(land, rng)
            add(draw, (x, y), land.size(y) * rng.uniform(*heights))
    return things


def _beside_road(land: _Land, rng: np.random.Generator) -> float:
    """Return a y on the ground behind the road or, less often, before it."""
    top, low = land.road
    if rng.random() < 0.3:
        return float(rng.uniform(low + 0.02, 1.03))
    return float(rng.uniform(land.horizon + 0.03, top - 0.01))
