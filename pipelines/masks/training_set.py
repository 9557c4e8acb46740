"""The images that a model was trained on: scores on them say nothing about other images.

A model keeps the stems of its training images and, since a later version, their sha256. By its hash
an image is recognised under any name; by its stem only in the stores that the model was fitted on,
for in another folder the same name may be another image.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ...store.drawn import summarise_drawn
from ...store.read.protocol import Features
from ...store.urls.location import Location, location
from .segmenter import recorded_stores

__all__ = ["FOLDS_OUT", "LEARNT_KEY", "SYNTHETIC", "TrainingSet", "training_set_facts"]

LEARNT_KEY = "learnt"
"""Key of a manifest's record: whether the model was trained on the image."""

FOLDS_OUT = "folds_out"
"""Key of a model's `extra`: the folder of its held-out masks, if they were written."""

SYNTHETIC = "synthetic"
"""Key of a model's `extra`: which of its training images a diffusion model drew, if any."""


def training_set_facts(store: Features, stems: Sequence[str]) -> dict[str, Any]:
    """Return what a model keeps about its training images, as plain JSON values."""
    images = {
        image.stem: image for image in store.images
    }  # each sha256 is a file: read only those needed
    drawn = [image for stem in stems if (image := images[stem].drawn) is not None]
    return {
        "images": list(stems),
        "images_sha256": [images[s].sha256.hex() for s in stems],
        **({SYNTHETIC: summarise_drawn(drawn)} if drawn else {}),
    }


class TrainingSet:
    """The images that a model was trained on.

    Parameters
    ----------
    sha256 : collection of str, optional
        Of their files, in hexadecimal; None if unknown.
    stems : collection of str, optional
        Used if the hashes are unknown; None if they cannot be used either.
    """

    def __init__(
        self, sha256: frozenset[str] | None = None, stems: frozenset[str] | None = None
    ) -> None:
        self._sha256, self._stems = sha256, stems

    @classmethod
    def of(cls, extra: Mapping[str, Any], sources: Sequence[Location] = ()) -> Self:
        """Return the training images of a saved model.

        Parameters
        ----------
        extra : mapping
            `PixelEnsemble.extra_`.
        sources : sequence of path
            The stores of the images that `has` will be called with.
        """
        sha256 = _texts(extra.get("images_sha256"))
        known = {location(path).resolve() for path in recorded_stores(extra)}
        use_stems = bool(sources) and all(path.resolve() in known for path in sources)
        return cls(sha256, _texts(extra.get("images")) if use_stems else None)

    def has(self, stem: str, sha256: str) -> bool | None:
        """Whether the model was trained on an image; None if unknown."""
        if self._sha256 is not None:
            return sha256 in self._sha256
        return None if self._stems is None else stem in self._stems


def _texts(plain: object) -> frozenset[str] | None:
    """Return a list of texts as a set; None if it is anything else, as in a damaged file."""
    if not isinstance(plain, list) or not all(isinstance(item, str) for item in plain):
        return None
    return frozenset(plain)
