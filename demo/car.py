"""A car seen from the side: body, windows, wheels."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from .canvas import Canvas, Colour, Light, Point, Surface
from .kinds import Kind
from .paints import scaled, vary

__all__ = ["draw_car"]

Place: TypeAlias = Callable[[float, float], Point]

# Outlines from the tail (0) to the nose (1), heights above the ground in lengths of the car.
BODIES: tuple[tuple[Point, ...], ...] = (
    ((0.0, 0.09), (0.0, 0.24), (0.03, 0.28), (0.72, 0.28), (0.97, 0.23), (1.0, 0.18), (1.0, 0.09)),
    ((0.01, 0.09), (0.0, 0.3), (0.74, 0.29), (0.95, 0.25), (1.0, 0.2), (0.99, 0.09)),
    ((0.0, 0.09), (0.0, 0.34), (0.86, 0.32), (0.98, 0.24), (1.0, 0.09)),
    ((0.0, 0.1), (0.0, 0.27), (0.8, 0.28), (0.98, 0.26), (1.0, 0.1)),
)
CABINS: tuple[tuple[Point, ...], ...] = (
    ((0.16, 0.27), (0.27, 0.41), (0.53, 0.41), (0.7, 0.27)),
    ((0.01, 0.28), (0.08, 0.44), (0.52, 0.44), (0.74, 0.28)),
    ((0.0, 0.3), (0.02, 0.52), (0.7, 0.52), (0.87, 0.31)),
    ((0.42, 0.26), (0.45, 0.44), (0.66, 0.44), (0.8, 0.27)),
)
TRIM: tuple[Point, ...] = ((0.0, 0.09), (0.0, 0.13), (1.0, 0.13), (1.0, 0.09))


def draw_car(
    canvas: Canvas,
    foot: Point,
    length: float,
    paint: Colour,
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Draw a car; ``foot`` is the middle of the line that its wheels stand on."""
    style, facing = int(rng.integers(len(BODIES))), float(rng.choice([-1.0, 1.0]))
    taller = rng.uniform(0.9, 1.15)

    def place(along: float, up: float) -> Point:
        return foot[0] + facing * (along - 0.5) * length, foot[1] - up * taller * length

    canvas.ellipse(
        (foot[0] - 0.06 * light.side * length, foot[1] - 0.01), (0.55 * length, 0.055 * length)
    )
    lower = Surface(Kind.CAR, paint, (0.05 * light.side, -0.28), 0.015, 0.02)
    upper = Surface(Kind.CAR, scaled(paint, 1.08), (0.08 * light.side, -0.12), 0.015, 0.02)
    trim = Surface(Kind.CAR, scaled(paint, 0.45), grain=0.01)
    for outline, look in ((CABINS[style], upper), (BODIES[style], lower), (TRIM, trim)):
        canvas.polygon([place(*point) for point in outline], look)
    _panes(canvas, CABINS[style], place, rng)
    for along, colour in ((0.97, (250, 240, 200)), (0.02, (190, 40, 35))):
        lamp = Surface(Kind.CAR, colour, grain=0.0)
        canvas.ellipse(place(along, 0.21), (0.022 * length, 0.026 * length), lamp)
    radius = length * rng.uniform(0.1, 0.125)
    hub = vary((175, 178, 182), rng, 25)
    for along in (rng.uniform(0.17, 0.21), rng.uniform(0.77, 0.82)):
        x, _ = place(float(along), 0.0)
        _wheel(canvas, (x, foot[1] - radius), radius, (scaled(paint, 0.3), hub), light)


def _panes(
    canvas: Canvas, cabin: tuple[Point, ...], place: Place, rng: np.random.Generator
) -> None:
    """Draw two panes within the cabin, a post between them."""
    glass = vary(((45, 55, 70), (125, 160, 185), (80, 95, 100))[rng.integers(3)], rng)
    (rear_low, low), (rear_high, high), (front_high, _), (front_low, _) = cabin
    bottom, top = low + 0.025, high - 0.03

    def edge(a: float, b: float, up: float) -> float:
        return a + (b - a) * (up - low) / (high - low)

    rear = [edge(rear_low, rear_high, up) + 0.03 for up in (bottom, top)]
    front = [edge(front_low, front_high, up) - 0.03 for up in (bottom, top)]
    post = (rear[0] + front[0]) / 2 + rng.uniform(-0.02, 0.04)
    pane = Surface(Kind.WINDOW, glass, (0.1, -0.2), 0.02, 0.06)
    for a, b in ((rear, (post - 0.012,) * 2), ((post + 0.012,) * 2, front)):
        corners = [(a[0], bottom), (a[1], top), (b[1], top), (b[0], bottom)]
        canvas.polygon([place(*corner) for corner in corners], pane)


def _wheel(
    canvas: Canvas,
    centre: Point,
    radius: float,
    colours: tuple[Colour, Colour],
    light: Light,
) -> None:
    x, y = centre
    arch = Surface(Kind.CAR, colours[0], grain=0.0)
    tyre = Surface(Kind.WHEEL, (38, 38, 42), (0.1 * light.side, -0.15), 0.05, 0.03)
    hub = Surface(Kind.WHEEL, colours[1], (0.15 * light.side, -0.2), 0.05, 0.05)
    axle = Surface(Kind.WHEEL, (60, 60, 64), grain=0.0)
    canvas.ellipse((x, y - 0.1 * radius), (1.12 * radius, 1.12 * radius), arch)
    for look, share in ((tyre, 1.0), (hub, 0.52), (axle, 0.16)):
        canvas.ellipse(centre, (share * radius, share * radius), look)
