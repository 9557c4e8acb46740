"""Pictures for the page: small JPEG files within it, each of at most 64 kB.

An image is read, made small, and forgotten before the next one is read.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....classify.inference.contrast import overlay_colours
from ....classify.labels.classes import Colour
from ....extract.images.files import find_images
from ....extract.images.reading import UnreadableImage, read_image, sha256_of
from ....extract.images.reading_spec import ReadingSpec
from ....store.geometry import resize_nearest
from ....store.names import composed
from ....store.urls.location import Location

__all__ = ["MOST_BYTES", "Box", "Pictures"]

MOST_BYTES = 64_000
"""Of a picture, before base64 adds a third."""

SIDE = 420  # pixels of the longer side

Pixels = NDArray[np.uint8]
Ids = NDArray[np.integer[Any]]
Box = tuple[int, int, int, int]
"""First line and column, and those after the last."""

_GREY = 128  # where there is no image
_UNKNOWN: Colour = (128, 128, 128)  # of pixels without a class
_QUALITIES = (82, 65, 45, 25, 10)


@dataclass
class Pictures:
    """Draws pictures of images and of masks over them.

    Parameters
    ----------
    files : mapping of str to path
        The images by name; empty if there are none.
    reading : ReadingSpec
        How they are read.
    colours : sequence of (red, green, blue)
        Of the classes.
    """

    files: Mapping[str, Location]
    reading: ReadingSpec
    colours: Sequence[Colour]
    problems: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shown = overlay_colours(self.colours)
        self._table = np.array([*self.shown, _UNKNOWN], np.uint8)

    @classmethod
    def of(
        cls, images: Location | None, reading: ReadingSpec, colours: Sequence[Colour]
    ) -> "Pictures":
        """Return what draws on the images of a folder, or on none.

        Raises
        ------
        InputError
            If there is a folder without images.
        """
        found = {} if images is None else find_images([images]).files
        return cls({composed(name): path for name, path in found.items()}, reading, colours)

    def image(self, name: str, sha256: str, size: tuple[int, ...]) -> Pixels | None:
        """Return an image; None, and why in ``problems``, if it is missing or another one."""
        path = self.files.get(composed(name))
        try:
            if path is None:
                raise UnreadableImage("it is not in the folder of images")
            if sha256_of(path).hex() != sha256:
                raise UnreadableImage("the file has changed since its features were extracted")
            image = read_image(path, self.reading)
            if image.shape[:2] != size:
                raise UnreadableImage("its size is not that of its mask")
            return image
        except UnreadableImage as error:
            if self.files:
                self.problems[name] = str(error)
            return None

    def over(self, image: Pixels | None, ids: Ids, box: Box | None = None) -> str:
        """Return a picture of a mask over an image, or over grey; as the text of a ``src``.

        Parameters
        ----------
        image : array of shape (H, W, 3), uint8, optional
        ids : array of shape (H, W), integer
            Those that are no class are grey.
        box : Box, optional
            Only this part.
        """
        small, there = _small(image, ids.shape, box), _resized(ids, box)
        known = (there >= 0) & (there < len(self.shown))
        covered = self._table[np.where(known, there, len(self.shown))]
        return _encoded(covered if image is None else small // 2 + covered // 2)

    def plain(self, image: Pixels, box: Box | None = None) -> str:
        """Return a picture of an image."""
        return _encoded(_small(image, image.shape[:2], box))

    def errors(self, image: Pixels | None, label: Ids, mask: Ids, ignore: int) -> str:
        """Return a picture of where masks are wrong: stripes over the darkened image in grey.

        Wrong pixels are striped in yellow and black, pixels without a class are dotted.
        """
        small = _small(image, label.shape, None)
        small_label, small_mask = _resized(label, None), _resized(mask, None)
        grey = (small.mean(axis=2, keepdims=True) * 0.6).astype(np.uint8)
        drawn = np.repeat(grey, 3, axis=2)
        y, x = np.indices(small_label.shape)
        wrong = (small_label != small_mask) & (small_label != ignore)
        stripes = (y + x) % 8 < 5
        drawn[wrong & stripes] = (255, 215, 0)
        drawn[wrong & ~stripes] = (0, 0, 0)
        drawn[(small_label == ignore) & (y % 5 == 0) & (x % 5 == 0)] = (255, 255, 255)
        return _encoded(drawn)


def _shape(height: int, width: int) -> tuple[int, int]:
    """Return the size of a picture: of tiny images larger, by whole numbers."""
    longer = max(height, width)
    if longer <= SIDE:
        times = max(1, SIDE // (2 * longer))
        return height * times, width * times
    return max(1, height * SIDE // longer), max(1, width * SIDE // longer)


def _cut(array: NDArray[Any], box: Box | None) -> NDArray[Any]:
    return array if box is None else array[box[0] : box[2], box[1] : box[3]]


def _small(image: Pixels | None, size: tuple[int, ...], box: Box | None) -> Pixels:
    if image is None:
        height, width = size if box is None else (box[2] - box[0], box[3] - box[1])
        return np.full((*_shape(height, width), 3), _GREY, np.uint8)
    cut = np.ascontiguousarray(_cut(image, box))
    height, width = _shape(*cut.shape[:2])
    return np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.LANCZOS))


def _resized(ids: Ids, box: Box | None) -> Ids:
    cut = _cut(ids, box)
    height, width = cut.shape
    return resize_nearest(cut, _shape(height, width))


def _encoded(pixels: Pixels) -> str:
    """Return a picture as JPEG of at most `MOST_BYTES`, in a data URL."""
    picture = Image.fromarray(pixels)
    while True:
        for quality in _QUALITIES:
            file = BytesIO()
            picture.save(file, format="JPEG", quality=quality, optimize=True)
            if len(file.getvalue()) <= MOST_BYTES:
                data = base64.b64encode(file.getvalue()).decode()
                return f"data:image/jpeg;base64,{data}"
        picture = picture.reduce(2)
