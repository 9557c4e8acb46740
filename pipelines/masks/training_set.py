"""Which images a model has learnt from: what its scores on them tell nothing of others.

A model keeps the stems of its labelled images and, since it keeps them, their sha256. A hash is
known again under any name; a stem only in the stores that the model was fitted on, for in another
folder the same name may be another image.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ...store.read.protocol import Features
from .segmenter import recorded_stores

__all__ = ["LEARNT_KEY", "TrainingSet", "training_set_facts"]

LEARNT_KEY = "learnt"
"""Under which a line of a manifest says whether the mask's model has learnt from the image."""


def training_set_facts(store: Features, stems: Sequence[str]) -> dict[str, list[str]]:
    """Return what a model keeps of the images that it learns from, as plain JSON values."""
    images = {image.stem: image for image in store.images}  # a hash is a file: only those asked for
    return {"images": list(stems), "images_sha256": [images[s].sha256.hex() for s in stems]}


class TrainingSet:
    """The images that a model has learnt from.

    Parameters
    ----------
    sha256 : collection of str, optional
        Of their files, in hexadecimal; None if they are not known.
    stems : collection of str, optional
        By which they are known if not by their hashes; None if not either.
    """

    def __init__(
        self, sha256: frozenset[str] | None = None, stems: frozenset[str] | None = None
    ) -> None:
        self._sha256, self._stems = sha256, stems

    @classmethod
    def of(cls, extra: Mapping[str, Any], sources: Sequence[Path] = ()) -> Self:
        """Return those of a model, by what is saved with it.

        Parameters
        ----------
        extra : mapping
            `PixelEnsemble.extra_`.
        sources : sequence of path
            Where the images come from that will be asked about.
        """
        sha256 = _texts(extra.get("images_sha256"))
        known = {Path(path).resolve() for path in recorded_stores(extra)}
        use_stems = bool(sources) and all(path.resolve() in known for path in sources)
        return cls(sha256, _texts(extra.get("images")) if use_stems else None)

    def has(self, stem: str, sha256: str) -> bool | None:
        """Say whether the model has learnt from an image; None if that is not known."""
        if self._sha256 is not None:
            return sha256 in self._sha256
        return None if self._stems is None else stem in self._stems


def _texts(plain: object) -> frozenset[str] | None:
    """Return what a model's file lists; None if it lists no such thing."""
    if not isinstance(plain, list) or not all(isinstance(item, str) for item in plain):
        return None
    return frozenset(plain)
