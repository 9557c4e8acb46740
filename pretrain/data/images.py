"""Training images: which are seen when, and how each is cut.

What a step sees is a pure function of (seed, step): a run that was killed goes on as if it had not
been, and several processes share one batch.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...extract.images.bounded_cache import BoundedCache
from ...extract.images.pixels import ImagePixels, resize
from ...extract.images.reading import PLAIN, UnreadableImage, open_pixels
from ...extract.images.reading_spec import ReadingSpec

__all__ = ["Augmentation", "TrainingImages"]

_SHUFFLE, _CUT = 0, 1  # streams of randomness


@dataclass(frozen=True)
class Augmentation:
    """How an image is varied each time it is seen.

    Parameters
    ----------
    crop : float
        Least side of a cut-out as a fraction of the image's, in (0, 1]; 1 always takes the whole.
        Cut-outs keep the image's shape; their size is drawn evenly on a logarithmic scale.
    flip : bool
        Mirror every other image, left to right.
    """

    crop: float = 1.0
    flip: bool = False


class TrainingImages:
    """Images decoded, cut and resized to the network's size by several threads.

    Parameters
    ----------
    paths : sequence of Path
    size : int
        Side of what the network sees, pixels; whole images are squashed to it as in extraction.
    augmentation : Augmentation
    seed : int
    cache_bytes : int
        Decoded images are kept up to this size, no larger than cut-outs need them.
    reading : ReadingSpec
        How they are read.

    Attributes
    ----------
    lost : dict
        Why images could not be read when their turn came, by number; others stood in for them.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        size: int,
        augmentation: Augmentation,
        seed: int,
        cache_bytes: int,
        reading: ReadingSpec = PLAIN,
    ) -> None:
        self._paths, self._size, self._augmentation = list(paths), size, augmentation
        self._seed, self._reading = seed, reading
        self._kept = BoundedCache[int, NDArray[np.uint8]](cache_bytes, attrgetter("nbytes"))
        self.lost: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def batch(
        self, start: int, count: int, pool: ThreadPoolExecutor | None = None
    ) -> NDArray[np.float32]:
        """Return the images at positions ``start`` to ``start + count`` of the endless sequence.

        Returns
        -------
        array of shape (count, C, size, size), float32, in [-1, 1]

        Raises
        ------
        UnreadableImage
            If none can be read any more.
        """
        places = range(start, start + count)
        cut = map(self._sample, places) if pool is None else pool.map(self._sample, places)
        return _scaled(list(cut))

    def whole(self, number: int) -> NDArray[np.float32]:
        """Return one image, not varied: (C, size, size), float32, in [-1, 1]."""
        image = self._image(number)
        cut = _cut(image, self._size, (0, 0, image.shape[1], image.shape[0]))
        return _scaled([cut]).squeeze(0)

    def _sample(self, place: int) -> NDArray[np.uint8]:
        image = self._seen_at(place)
        rng = np.random.default_rng((self._seed, _CUT, place))
        height, width = image.shape[:2]
        side = self._augmentation.crop ** rng.random()  # log-uniform in [crop, 1]
        left, top = rng.random(2) * (1 - side) * (width, height)
        cut = _cut(image, self._size, (left, top, left + side * width, top + side * height))
        return cut[:, ::-1] if self._augmentation.flip and rng.random() < 0.5 else cut

    def _seen_at(self, place: int) -> NDArray[np.uint8]:
        """Return the image that stands at a place; if it is lost, the next that is not."""
        for later in range(2 * len(self)):  # the rest of an epoch, and a whole one
            number = self._number(place + later)
            try:
                return self._image(number)
            except UnreadableImage as error:
                self.lost[number] = str(error)
        raise UnreadableImage(
            f"none of the {len(self)} images can be read any more. The first error: "
            f"{self.lost[min(self.lost)]}"
        )

    def _number(self, place: int) -> int:
        """Return which image stands at a place: each epoch is a permutation."""
        epoch, within = divmod(place, len(self._paths))
        return int(_order(self._seed, epoch, len(self._paths))[within])

    def _image(self, number: int) -> NDArray[np.uint8]:
        def load() -> NDArray[np.uint8]:
            return self._shrunk(open_pixels(self._paths[number], self._reading))

        return self._kept.get(number, load)

    def _shrunk(self, image: ImagePixels) -> NDArray[np.uint8]:
        """Return an image reduced to what the smallest cut-out needs."""
        height, width = image.size
        scale = self._size / self._augmentation.crop / min(height, width)
        if scale >= 1:
            return image.array()
        return image.resized((round(height * scale), round(width * scale)))


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, _SHUFFLE, epoch)).permutation(count)


def _cut(
    image: NDArray[np.uint8], size: int, box: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if height == width == size and box == (0.0, 0.0, float(size), float(size)):
        return image
    inside = (box[0], box[1], min(box[2], width), min(box[3], height))  # of rounding
    return resize(image, (size, size), inside)


def _scaled(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    stacked = np.stack(images).transpose(0, 3, 1, 2)  # (B, h, w, C) -> (B, C, h, w)
    return np.ascontiguousarray(2 * (stacked.astype(np.float32) / np.float32(255)) - 1)
