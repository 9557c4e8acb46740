"""What annotation files say of images, in one form that every format is read to and written from.

An annotation file draws shapes of named classes on images. Coordinates are in pixels of the image
as it is shown, after rotation by its EXIF orientation: (0, 0) is the top left corner of the first
pixel, whose centre is (0.5, 0.5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AnnotatedImage",
    "Annotations",
    "Area",
    "Bitmap",
    "Colour",
    "Lines",
    "Points",
    "Polygon",
    "Shape",
]


@dataclass(frozen=True)
class Polygon:
    """An area within a closed line.

    Parameters
    ----------
    exterior : array of shape (n, 2), float64
        x and y of each corner; the last need not repeat the first.
    holes : tuple of arrays of shape (n, 2), float64
        Areas within it that do not belong to it.
    """

    exterior: NDArray[np.float64]
    holes: tuple[NDArray[np.float64], ...] = ()


@dataclass(frozen=True)
class Bitmap:
    """An area given pixel by pixel.

    Parameters
    ----------
    pixels : array of shape (h, w), bool
    top, left : int
        Of the image, where its first pixel lies.
    """

    pixels: NDArray[np.bool_]
    top: int = 0
    left: int = 0


@dataclass(frozen=True)
class Lines:
    """A stroke.

    Parameters
    ----------
    vertices : array of shape (n, 2), float64
        x and y.
    width : float
        In pixels.
    """

    vertices: NDArray[np.float64]
    width: float = 1.0


@dataclass(frozen=True)
class Points:
    """Single pixels, or discs.

    Parameters
    ----------
    centres : array of shape (n, 2), float64
        x and y.
    radius : float
        In pixels; 0 is the one pixel that holds the centre.
    """

    centres: NDArray[np.float64]
    radius: float = 0.0


Colour = tuple[int, int, int]

Area = Polygon | Bitmap | Lines | Points


@dataclass(frozen=True)
class Shape:
    """Areas of one class.

    Parameters
    ----------
    label : str or None
        Name of the class; None marks pixels that nothing is said of, such as COCO's crowds.
    areas : tuple of areas
        All of them together: of one object, often a single one.
    """

    label: str | None
    areas: tuple[Area, ...]


@dataclass(frozen=True)
class AnnotatedImage:
    """The shapes of one image.

    Parameters
    ----------
    name : str
        The image's file as the annotation file names it, with "/" between folders.
    shapes : tuple of Shape
        In the order in which they are drawn: a later one covers those before it.
    size : (height, width), optional
        Of the image, where the annotation file states it.
    """

    name: str
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Annotations:
    """What one or several annotation files of a format say.

    Parameters
    ----------
    kind : str
        Name of the format for messages, such as "COCO".
    images : tuple of AnnotatedImage
    classes : tuple of (name, colour or None)
        In the order of their ids, where the format has one; shapes may have only these labels.
    sparse : bool
        Whether pixels without a shape are unlabelled, as beside points and strokes, and not
        background.
    notes : tuple of str
        What a user should know, such as shapes that are left out, and why.
    """

    kind: str
    images: tuple[AnnotatedImage, ...]
    classes: tuple[tuple[str, Colour | None], ...]
    sparse: bool = False
    notes: tuple[str, ...] = ()
