"""What a generator takes in place of an image that it drew: the latent of the image's seed.

``dseg sample`` leaves two files beside its images: ``samples.json`` says which checkpoint drew
them, and ``samples.jsonl`` has a line for each image, with its seed and the sha256 of its file. A
file is found by that hash, so an image may be renamed; one that another program saved again is
another image, of which no latent is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..store.spec import FeatureSpec
from ..store.texts import object_in
from ..store.urls.location import Location
from .images.reading import UnreadableImage
from .images.sample_records import FACTS, RECORDS, sample_records
from .networks.generators.latents import latents_of

__all__ = ["LatentRow", "Latents", "takes_latents"]


class LatentRow:
    """The latent of an image, as the one tile of it that a generator takes.

    Parameters
    ----------
    seed : int
    size : int
        Dimensions of the latent.
    """

    def __init__(self, seed: int, size: int) -> None:
        self._seed, self._size = seed, size

    def __len__(self) -> int:
        return 1

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """Return the latent: (Z,), float32."""
        latent: NDArray[np.float32] = latents_of([self._seed], self._size)[0].numpy()
        return latent


@dataclass(frozen=True)
class Latents:
    """The latents of the images of one generator.

    Parameters
    ----------
    size : int
        Dimensions of a latent.
    checkpoint : str
        sha256 of the generator.
    weights : str, optional
        Which of several sets of weights, as a spec and a folder's facts state it.
    """

    size: int
    checkpoint: str
    weights: str | None = None

    @classmethod
    def of(cls, spec: FeatureSpec) -> Self | None:
        """Return those of the features of one network; None if it takes images."""
        network = spec.backbone
        if "latent" not in network:
            return None
        return cls(network["latent"]["size"], network["sha256"], network.get("weights"))

    def row(self, path: Location, sha256: bytes) -> LatentRow:
        """Return the latent of an image file.

        Parameters
        ----------
        path : Path
        sha256 : bytes
            Of the file.

        Raises
        ------
        UnreadableImage
            If this generator did not draw it.
        """
        seeds = path.with_name(RECORDS)
        seed = _seeds_in(seeds).get(sha256.hex())
        if seed is None:
            raise UnreadableImage(
                f"'{path}' was not drawn by this generator, or was changed since: it is not in "
                f"'{seeds}'. A StyleGAN has features of its own images only; draw some with "
                "`dseg sample`"
            )
        self._refuse_others(path, path.with_name(FACTS))
        return LatentRow(seed, self.size)

    def _refuse_others(self, path: Location, facts: Location) -> None:
        """Raise `UnreadableImage` if other weights drew the images beside some facts."""
        told = _facts_in(facts)
        sha256, weights = told.get("checkpoint_sha256"), told.get("weights")
        own = "a StyleGAN has features of its own images only"
        if sha256 != self.checkpoint:
            other = f"of sha256 {str(sha256)[:12]}…" if sha256 else "that is not known"
            raise UnreadableImage(
                f"'{path}' was drawn by a checkpoint {other}, by '{facts}', not by this one of "
                f"sha256 {self.checkpoint[:12]}…: {own}"
            )
        if weights != self.weights:
            theirs, ours = (
                f"'{one}'" if one else "the first ones" for one in (weights, self.weights)
            )
            raise UnreadableImage(
                f"'{path}' was drawn with other weights of this checkpoint, {theirs} by '{facts}', "
                f"not {ours}: {own}. Choose them with --weights"
            )


def takes_latents(spec: FeatureSpec) -> bool:
    """Say whether features are of a generator, or of several networks with one among them."""
    return any(Latents.of(part) is not None for part in spec.parts or (spec,))


def _seeds_in(path: Location) -> Mapping[str, int]:
    """Return the seeds of a folder's images, by the sha256 of their files."""
    try:
        status = path.stat() if isinstance(path, Path) else None
        return _read_seeds(path, (status.st_mtime_ns, status.st_size) if status else None)
    except OSError:
        return {}


@lru_cache(maxsize=64)
def _read_seeds(path: Location, version: tuple[int, int] | None) -> Mapping[str, int]:
    return {record["sha256"]: record["seed"] for record in sample_records(path.read_bytes())}


def _facts_in(path: Location) -> Mapping[str, Any]:
    """Return what a folder's images were drawn with; nothing if that is not known."""
    return object_in(path) or {}
