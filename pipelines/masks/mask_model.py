"""What makes masks, under one interface: an ensemble of `dseg fit`, or a student."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...classify.inference.prediction import At, Prediction
from ...classify.labels.classes import Classes
from ...extract.images.files import ImageFiles
from ...extract.images.reading_spec import MOST_PIXELS, ReadingSpec
from ...store.urls.location import Location
from ...store.urls.options import StorageOptions
from ..console.progress import Progress
from ..features.sources import ImageFilesSource, Segmentable, Source

__all__ = ["FeatureNetwork", "ImageOptions", "MaskModel", "Segment"]


@dataclass(frozen=True)
class ImageOptions:
    """How images are run through the network of a model.

    Parameters
    ----------
    checkpoint : str, optional
        Where the checkpoint of the model's features is now.
    backbone : str, optional
        The factory of a network of one's own that the features may be made by.
    batch_size : int, optional
        Tiles through the network at once.
    white : int, optional
        The value of 16 bits a channel that is white; by default the model's.
    most_pixels : int
        Of an image that is decoded whole.
    """

    checkpoint: str | None = None
    backbone: str | None = None
    batch_size: int | None = None
    white: int | None = None
    most_pixels: int = MOST_PIXELS


@dataclass(frozen=True)
class FeatureNetwork:
    """A network whose activations are features.

    Parameters
    ----------
    source : str
        Where its checkpoint came from.
    sha256 : str
        Of its weights.
    noise : bool
        Whether it is a diffusion model: it sees noised images.
    latents : bool
        Whether it is a generator: it sees the latents of its own images, not their pixels.
    """

    source: str
    sha256: str
    noise: bool
    latents: bool

    @property
    def draws(self) -> bool:
        """Whether it can draw images."""
        return self.noise or self.latents


class Segment(Protocol):
    """Segments one image."""

    def __call__(
        self,
        image: Segmentable,
        /,
        *,
        want_probabilities: bool = False,
        want_uncertainty: bool = True,
        sample: NDArray[np.int64] | None = None,
    ) -> Prediction:
        """Return the prediction, with uncertainty if there are members that can disagree.

        Raises
        ------
        DsegError
            If the image cannot be used.
        """


class MaskModel(Protocol):
    """A model that makes masks."""

    @property
    def classes(self) -> Classes:
        """Names and colours of the classes."""

    @property
    def members(self) -> int:
        """Networks that vote; 1 of a student."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """What was saved with it, such as its labelled images; plain JSON values."""

    @property
    def tile(self) -> int | None:
        """The side of the tiles that images are seen in at their own scale; None: seen whole."""

    @property
    def networks(self) -> tuple[FeatureNetwork, ...]:
        """The networks of its features; none of a student."""

    @property
    def reading(self) -> ReadingSpec:
        """How images are read for it.

        Raises
        ------
        InputError
            If it cannot take images.
        """

    def images(
        self, files: ImageFiles, options: ImageOptions, progress: Progress
    ) -> ImageFilesSource:
        """Return the source of images that `segmenter` takes.

        Raises
        ------
        InputError
            If it cannot take images, or an option is not one for it.
        """

    def default_sources(self, storage: StorageOptions = ()) -> tuple[Location, ...]:
        """Return the stores that it was fitted on, which are predicted if nothing is given.

        Parameters
        ----------
        storage : StorageOptions
            Of the connection to those by URL.

        Raises
        ------
        InputError
            If they are not known, or not there any more.
        """

    def stores(self, paths: Sequence[Location]) -> Source:
        """Return the source of the images of feature stores that `segmenter` takes.

        Raises
        ------
        InputError
            If it cannot take stores, or not these.
        """

    def segmenter(self, source: Source, at: At = "image") -> Segment:
        """Return what segments the images of a source that `images` or `stores` made."""
