"""A house: two walls, a roof, a door, windows, at times a chimney."""

from dataclasses import replace

import numpy as np

from .canvas import Canvas, Colour, Light, Point, Surface
from .kinds import Kind
from .paints import scaled, vary

__all__ = ["draw_house"]


def draw_house(
    canvas: Canvas,
    foot: Point,
    width: float,
    paint: tuple[Colour, Colour, Colour],
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Draw a house, its front ``width`` wide, ``foot`` the middle of the front's lower edge.

    ``paint`` gives the colours of walls, roof and door.
    """
    x, base = foot
    height = width * rng.uniform(0.6, 1.05)
    left, right, top = x - width / 2, x + width / 2, base - height
    turn = float(rng.choice([-1.0, 1.0]))  # on which side the other wall shows
    depth = turn * width * rng.uniform(0.2, 0.55)
    rise = 0.12 * abs(depth)  # the far edge stands higher in the picture
    edge = right if turn > 0 else left
    sunny = 1 + 0.28 * turn * light.side
    texture = _wall_texture(width, rng)
    cast = -light.side * height * 0.5
    canvas.polygon(
        [(left, base), (right, base), (edge + depth, base - rise),
         (right + cast + depth, base - rise), (left + cast, base + 0.03)]
    )  # fmt: skip
    side = Surface(Kind.WALL, scaled(paint[0], 0.8 * sunny), (0.04, 0.05), 0.035, 0.035, texture)
    canvas.polygon(
        [(edge, base), (edge + depth, base - rise), (edge + depth, top + rise), (edge, top)], side
    )
    front_colour = scaled(paint[0], 1.0 - 0.1 * turn * light.side)
    front = Surface(Kind.WALL, front_colour, (0.04, -0.06), 0.035, 0.035, texture)
    _roof(canvas, (left, right, top), (depth, rise), (paint[1], front, sunny), rng)
    canvas.rectangle(left, top, right, base, front)
    _openings(canvas, (left, top, right, base), paint[2], rng)
    if rng.random() < 0.7:
        _side_window(canvas, (edge, depth, top, base, rise), rng)


def _wall_texture(width: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return boards that lie or stand, courses of stone, or plaster."""
    style, waves = rng.integers(3), rng.uniform(9, 16) / width
    amplitude = rng.uniform(0.04, 0.1)
    return ((0.0, waves, amplitude), (waves, 0.0, amplitude), (0.0, 0.0, 0.0))[style]


def _roof(
    canvas: Canvas,
    front: tuple[float, float, float],
    side: tuple[float, float],
    look: tuple[Colour, Surface, float],
    rng: np.random.Generator,
) -> None:
    """Draw one of three roofs: the gable in front, the ridge across, or flat."""
    (left, right, top), (depth, _), (colour, wall, sunny) = front, side, look
    width, style = right - left, rng.integers(3)
    rows = (0.0, rng.uniform(10, 18) / width, rng.uniform(0.05, 0.13))
    lit = Surface(Kind.ROOF, scaled(colour, sunny), (0.0, -0.08), 0.04, 0.05, rows)
    dim = Surface(Kind.ROOF, scaled(colour, 0.85), (0.0, 0.0), 0.04, 0.05, rows)
    peak = top - width * rng.uniform(0.32, 0.6)
    if style == 0:
        _front_gable(canvas, front, side, peak, (lit, dim, wall))
    elif style == 1:
        gable = replace(wall, colour=scaled(wall.colour, 0.8 * sunny))
        _ridge_across(canvas, front, side, peak + 0.1 * width, (dim, gable))
    else:
        _flat_roof(canvas, front, side, width * rng.uniform(0.1, 0.2), (lit, dim))
    if style < 2 and rng.random() < 0.6:
        x = (left + right) / 2 + depth * rng.uniform(0.35, 0.7)
        _chimney(canvas, x, peak + 0.12 * width, width, rng)


def _eaves(
    front: tuple[float, float, float], side: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return x of the walls' common edge, the overhang in front and at the side, y of the back."""
    (left, right, top), (depth, rise) = front, side
    over = 0.05 * (right - left)
    return (right, over, over, top + rise) if depth > 0 else (left, over, -over, top + rise)


def _front_gable(
    canvas: Canvas,
    front: tuple[float, float, float],
    side: tuple[float, float],
    peak: float,
    look: tuple[Surface, Surface, Surface],
) -> None:
    """Draw a gable in front: its triangle is wall, the slope lies behind."""
    (left, right, top), (depth, rise), (slope, rim, wall) = front, side, look
    edge, over, out, back = _eaves(front, side)
    width, middle = right - left, (left + right) / 2
    band, eaves = 0.09 * width, top + over * 0.6
    canvas.polygon(
        [(middle, peak), (middle + depth, peak + rise),
         (edge + depth + out, back + over * 0.6), (edge + out, eaves)], slope
    )  # fmt: skip
    canvas.polygon([(left, top), (right, top), (middle, peak)], wall)
    canvas.polygon(
        [(left - over, eaves), (middle, peak - band * 0.4), (right + over, eaves),
         (right + over - band, eaves), (middle, peak + band), (left - over + band, eaves)], rim
    )  # fmt: skip


def _ridge_across(
    canvas: Canvas,
    front: tuple[float, float, float],
    side: tuple[float, float],
    ridge: float,
    look: tuple[Surface, Surface],
) -> None:
    """Draw a ridge across: the slope faces the viewer, the gable is on the side wall."""
    (left, right, top), (depth, rise), (slope, gable) = front, side, look
    edge, over, out, back = _eaves(front, side)
    far = (edge + depth / 2, ridge + rise / 2)
    canvas.polygon([(edge, top), (edge + depth, back), far], gable)
    other = (left if depth > 0 else right) - out
    canvas.polygon(
        [(other, top + over), (other + depth / 2, ridge), (far[0] + out, far[1]),
         (edge + out, top + over)], slope
    )  # fmt: skip


def _flat_roof(
    canvas: Canvas,
    front: tuple[float, float, float],
    side: tuple[float, float],
    thick: float,
    look: tuple[Surface, Surface],
) -> None:
    """Draw a flat roof with a rim."""
    (left, right, top), (depth, _), (side_rim, front_rim) = front, side, look
    edge, over, out, back = _eaves(front, side)
    canvas.polygon(
        [(edge + out, top), (edge + depth + out, back), (edge + depth + out, back - thick),
         (edge + out, top - thick)], side_rim
    )  # fmt: skip
    canvas.rectangle(left - over, top - thick, right + over, top + 0.01, front_rim)


def _chimney(canvas: Canvas, x: float, y: float, width: float, rng: np.random.Generator) -> None:
    half, height = 0.05 * width, width * rng.uniform(0.18, 0.3)
    colour, rows = vary((140, 95, 80), rng, 20), (0, 16 / width, 0.1)
    brick = Surface(Kind.WALL, colour, (0.15, 0), 0.05, 0.04, rows)
    canvas.rectangle(x - half, y - height, x + half, y, brick)


def _openings(
    canvas: Canvas,
    front: tuple[float, float, float, float],
    paint: Colour,
    rng: np.random.Generator,
) -> None:
    """Draw door and windows, in columns and storeys."""
    left, top, right, base = front
    width, height = right - left, base - top
    columns = int(rng.integers(2, 4))
    storeys = 2 if height > 0.85 * width else 1
    door_at, cell = int(rng.integers(columns)), width / columns
    frame, glass = _window_look(rng)
    tall = height / storeys
    half, lintel = min(0.3 * cell, 0.13 * width), base - tall * rng.uniform(0.66, 0.8)
    pane = (0.27 * cell * rng.uniform(0.85, 1.25), 0.24 * tall * rng.uniform(0.8, 1.2))
    for column in range(columns):
        x = left + (column + 0.5) * cell
        for storey in range(storeys):
            if storey == 0 and column == door_at:
                _door(canvas, (x, half, lintel, base), paint, rng)
            else:
                y = base - (storey + 0.55) * tall
                _window(canvas, (x, y), pane, frame, glass)


def _door(
    canvas: Canvas,
    place: tuple[float, float, float, float],
    paint: Colour,
    rng: np.random.Generator,
) -> None:
    x, half, top, base = place
    planks = (rng.uniform(2.5, 4) / half, 0.0, 0.07)
    leaf = Surface(Kind.DOOR, paint, (0.05, -0.08), 0.03, 0.03, planks)
    rim = Surface(Kind.DOOR, scaled(paint, 0.6), grain=0.02)
    canvas.rectangle(x - half, top, x + half, base, rim)
    canvas.rectangle(x - 0.8 * half, top + 0.2 * half, x + 0.8 * half, base, leaf)
    knob = Surface(Kind.DOOR, (225, 205, 140), grain=0.0)
    side = float(rng.choice([-0.55, 0.55]))
    canvas.ellipse((x + side * half, (top + 1.2 * base) / 2.2), (0.12 * half, 0.12 * half), knob)


def _window_look(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Return colours of frame and glass: dark, mirroring the sky, or lit from inside."""
    frame = vary(((240, 240, 235), (90, 60, 45), (60, 65, 70))[rng.integers(3)], rng)
    glass = vary(((45, 55, 75), (150, 185, 210), (245, 215, 130))[rng.integers(3)], rng)
    return frame, glass


def _window(
    canvas: Canvas, centre: Point, half: tuple[float, float], frame: Colour, glass: Colour
) -> None:
    (x, y), (w, h) = centre, half
    canvas.rectangle(x - w, y - h, x + w, y + h, Surface(Kind.WINDOW, frame, grain=0.02))
    pane = Surface(Kind.WINDOW, glass, (0.12, -0.18), 0.02, 0.08)
    a, b = 0.35 * w, 0.35 * h
    for u in (x - 0.45 * w, x + 0.45 * w):
        for v in (y - 0.45 * h, y + 0.45 * h):
            canvas.rectangle(u - a, v - b, u + a, v + b, pane)


def _side_window(
    canvas: Canvas, wall: tuple[float, float, float, float, float], rng: np.random.Generator
) -> None:
    """Draw a window in the turned wall, slanted with it."""
    edge, depth, top, base, rise = wall
    frame, glass = _window_look(rng)
    near, far = rng.uniform(0.25, 0.35), rng.uniform(0.65, 0.78)
    upper, lower = 0.25, 0.25 + rng.uniform(0.25, 0.35)

    def place(along: float, down: float) -> Point:
        high, low = top + rise * along, base - rise * along
        return edge + depth * along, high + down * (low - high)

    for inset, colour in ((0.0, frame), (0.06, glass)):
        a, b, c, d = near + inset, far - inset, upper + inset, lower - inset
        look = Surface(Kind.WINDOW, scaled(colour, 0.9), (0.1, -0.1), 0.02, 0.05)
        canvas.polygon([place(a, c), place(b, c), place(b, d), place(a, d)], look)
