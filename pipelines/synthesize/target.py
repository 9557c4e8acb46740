"""Where synthetic images go: folders of files, or one Zarr store.

Both hold, by number, the image, its mask, the uncertainty of each pixel, and the score by which
images are filtered. What is written of an image counts only when its score is there, which is
written last: a killed run leaves nothing half-made that counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...classify.inference.prediction import Prediction
from ...store.atomic_folder import is_free
from ...store.differences import differences
from ...store.errors import InputError

__all__ = ["SyntheticImage", "Target", "must_be_replaced"]

_WORDS = {"model_sha256": "the model", "checkpoint_sha256": "the generator's checkpoint"}
_NOT_COMPARED = frozenset({"checkpoint", "model"})  # a moved file is the same file


@dataclass(frozen=True)
class SyntheticImage:
    """An image that was drawn and segmented.

    Parameters
    ----------
    number : int
        From 0; it decides the seed.
    seed : int
    pixels : array of shape (H, W, 3), uint8
    prediction : Prediction
        With uncertainty.
    """

    number: int
    seed: int
    pixels: NDArray[np.uint8]
    prediction: Prediction


class Target(Protocol):
    """What is written to."""

    @property
    def scores(self) -> Mapping[int, float]:
        """The score of each image that is there, by number."""

    def write(self, image: SyntheticImage) -> None:
        """Write an image; it is there when this returns."""

    def keep(self, numbers: Sequence[int]) -> None:
        """Note which images are kept, and no others."""

    def shown(self, numbers: Sequence[int]) -> list[int]:
        """Return in how many of some images each class has a pixel, by its id."""


def must_be_replaced(
    path: Path, found: Mapping[str, Any] | None, facts: Mapping[str, Any], *, overwrite: bool
) -> bool:
    """Say whether what is at a path is replaced; if not, a run goes on with it, or begins it.

    Parameters
    ----------
    path : path
    found : mapping, optional
        The facts of the synthetic images that are there.
    facts : mapping
        Those of this run: what decides each image.
    overwrite : bool

    Raises
    ------
    InputError
        If something else is there, or images of other facts that may not be replaced.
    """
    if found is None:
        if not is_free(path):
            raise InputError(
                f"'{path}' exists and does not contain synthetic images of dseg, so it is not "
                "replaced: give another --out"
            )
        return False
    there, now = (
        {key: value for key, value in one.items() if key not in _NOT_COMPARED}
        for one in (found, facts)
    )
    differ = differences(there, now, _WORDS)
    if differ and not overwrite:
        raise InputError(
            f"'{path}' contains synthetic images that differ in {'; '.join(differ)}: use the same "
            "options to continue, give another --out, or use --overwrite to start again"
        )
    return overwrite
