"""A canvas on which shapes are laid over one another, each of one class, then lit as a photograph.

Pillow draws the shapes' numbers, three times as fine as the picture in each direction. A pixel's
label is the class of the shape at its centre; its colour is the mean over its nine cells. So edges
are soft in the image and exact in the label map.

Lengths are in heights of the image: y runs from 0 (top) to 1, x from 0 to width / height.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["Canvas", "Colour", "Light", "Point", "Surface"]

FINE = 3  # cells a pixel, in each direction: odd, so that one lies at the pixel's centre

Colour: TypeAlias = tuple[float, float, float]
Point: TypeAlias = tuple[float, float]
Pixels: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Surface:
    """The class of a shape and how it looks.

    Parameters
    ----------
    kind : int
        Class id.
    colour : tuple of 3 floats
        Red, green, blue from 0 to 255, in even light.
    gradient : tuple of 2 floats
        How much brighter, as a part of 1, the right edge is than the middle, and the lower edge.
    grain, blotch : float
        Standard deviations of the brightness from pixel to pixel and over larger spots.
    stripes : tuple of 3 floats
        Waves along x and along y in one height, and their amplitude.
    distance : float
        From 0 (near) to 1 (wholly lost in haze).
    """

    kind: int
    colour: Colour
    gradient: Point = (0.0, 0.0)
    grain: float = 0.03
    blotch: float = 0.04
    stripes: tuple[float, float, float] = (0.0, 0.0, 0.0)
    distance: float = 0.0


@dataclass(frozen=True)
class Light:
    """The light of a scene, the air, and the camera.

    Parameters
    ----------
    side : float
        Where light comes from: -1 (left) to 1 (right).
    tint : tuple of 3 floats
        Factors on red, green, blue.
    haze : tuple of 3 floats
        Colour of the air, 0 to 255.
    shadow : float
        How much light a full shadow takes, as a part of 1.
    falloff : tuple of 2 floats
        Brightness gradient over the whole picture, along x and y.
    blur, noise : float
        Of the camera: standard deviations in 128ths of the height, and in grey levels.
    """

    side: float
    tint: Colour
    haze: Colour
    shadow: float
    falloff: Point
    blur: float
    noise: float


class Canvas:
    """Shapes drawn over one another on a picture of ``size``, its height and width in pixels."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.width = size[1] / size[0]
        fine = (FINE * size[1], FINE * size[0])  # Pillow names the width first
        self._shapes, self._shadow = Image.new("I", fine), Image.new("L", fine)
        self._pen, self._dark = ImageDraw.Draw(self._shapes), ImageDraw.Draw(self._shadow)
        self._surfaces: list[Surface] = []
        self._boxes: list[tuple[float, float, float, float]] = []  # centre, half extents

    def polygon(self, points: Sequence[Point], surface: Surface | None = None) -> None:
        """Draw a filled polygon over what is there; without a surface, a shadow on it."""
        self._draw("polygon", points, surface)

    def rectangle(
        self, left: float, top: float, right: float, low: float, surface: Surface
    ) -> None:
        """Draw a filled rectangle."""
        self.polygon([(left, low), (right, low), (right, top), (left, top)], surface)

    def ellipse(self, centre: Point, radii: Point, surface: Surface | None = None) -> None:
        """Draw a filled ellipse; without a surface, a shadow."""
        (x, y), (rx, ry) = centre, radii
        self._draw("ellipse", [(x - rx, y - ry), (x + rx, y + ry)], surface)

    def _draw(
        self,
        shape: Literal["polygon", "ellipse"],
        points: Sequence[Point],
        surface: Surface | None,
    ) -> None:
        scale = FINE * self.size[0]  # floor, for Pillow would cut off decimals towards 0
        cells = [(floor(x * scale), floor(y * scale)) for x, y in points]
        getattr(self._dark, shape)(cells, fill=255 if surface is None else 0)
        if surface is not None:
            getattr(self._pen, shape)(cells, fill=len(self._surfaces))
            self._surfaces.append(surface)
            low, high = np.min(points, axis=0), np.max(points, axis=0)
            self._boxes.append((*((low + high) / 2), *np.maximum((high - low) / 2, 1e-3)))

    def label(self) -> NDArray[np.uint8]:
        """Return the class of the shape at each pixel's centre, uint8 (H, W)."""
        kinds = np.array([surface.kind for surface in self._surfaces], np.uint8)
        return kinds[self._centres()]

    def photograph(self, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the picture, uint8 (H, W, 3)."""
        colours = np.array([surface.colour for surface in self._surfaces]).clip(0, 255)
        flat = Image.fromarray(colours.round().astype(np.uint8)[np.asarray(self._shapes)])
        image = np.asarray(flat.reduce(FINE), np.float32)  # (H, W, 3)
        y, x = (
            ((np.arange(n) + 0.5) / self.size[0]).astype(np.float32) for n in self.size
        )  # of the pixels' centres
        y = y[:, None]
        bright = self._brightness(y, x, rng) * self._shade(light)
        bright *= 1 + light.falloff[0] * (2 * x / self.width - 1) + light.falloff[1] * (2 * y - 1)
        image = image * bright[..., None]
        far = np.array([s.distance for s in self._surfaces], np.float32)[self._centres()][..., None]
        image += far * (np.array(light.haze, np.float32) - image)
        image *= np.array(light.tint, np.float32)
        sharp = Image.fromarray(image.clip(0, 255).round().astype(np.uint8))
        blurred = sharp.filter(ImageFilter.GaussianBlur(light.blur * self.size[0] / 128))
        noise = light.noise * rng.standard_normal((*self.size, 3), np.float32)
        taken: Pixels = (np.asarray(blurred) + noise).clip(0, 255).round()
        return taken.astype(np.uint8)

    def _centres(self) -> NDArray[np.int32]:
        return np.asarray(self._shapes, np.int32)[FINE // 2 :: FINE, FINE // 2 :: FINE]

    def _brightness(self, y: Pixels, x: Pixels, rng: np.random.Generator) -> Pixels:
        """Return each pixel's brightness by its shape's form and texture, (H, W)."""
        rows = [
            (*box, *s.gradient, s.grain, s.blotch, *s.stripes)
            for s, box in zip(self._surfaces, self._boxes, strict=True)
        ]
        table = np.array(rows, np.float32).T  # (parameters, shapes)
        cx, cy, rx, ry, gx, gy, grain, blotch, kx, ky, wave = table[:, self._centres()]
        bright: Pixels = 1 + gx * (x - cx) / rx + gy * (y - cy) / ry
        bright += grain * rng.standard_normal(self.size, np.float32)
        bright += blotch * (_spots(self.size, 6, rng) + _spots(self.size, 20, rng))
        bright += wave * np.sin(2 * np.pi * (kx * (x - cx) + ky * (y - cy)))
        return bright

    def _shade(self, light: Light) -> Pixels:
        soft = ImageFilter.GaussianBlur(self.size[0] / 128)
        dark = np.asarray(self._shadow.reduce(FINE).filter(soft), np.float32)
        return (1 - light.shadow * dark / 255).astype(np.float32)


def _spots(size: tuple[int, int], cells: int, rng: np.random.Generator) -> Pixels:
    """Return smooth noise, `cells` spots in one height, of about unit size, (H, W)."""
    height, width = size
    grid = rng.standard_normal((cells, max(2, round(cells * width / height))), np.float32)
    smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32)
