"""What to label next: of the images that a model predicted, those it is least sure of."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....classify.labels.label_maps import read_label_file
from ....store.errors import InputError
from ....store.urls.location import Location
from ...inputs.image_list import named
from ...masks.open_manifest import open_manifest
from ...masks.recipe import fingerprint, made_by, of_network_size
from ...masks.training_set import TrainingSet

__all__ = ["MOST_CANDIDATES", "Candidate", "Predicted", "open_predicted"]

MOST_CANDIDATES = 8


@dataclass(frozen=True)
class Candidate:
    """An image that may be labelled next.

    Parameters
    ----------
    stem : str
    uncertainty : float
        `image_uncertainty`.
    """

    stem: str
    uncertainty: float


@dataclass(frozen=True)
class Predicted:
    """A folder of masks of images without labels.

    Parameters
    ----------
    folder : path
    records : mapping
        Of the manifest, by stem; of images that the model has not learnt from.
    """

    folder: Location
    records: Mapping[str, Mapping[str, Any]]

    def least_sure(self) -> list[Candidate]:
        """Return the images of highest uncertainty, the highest first."""
        found = (
            Candidate(stem, float(record["image_uncertainty"]))
            for stem, record in self.records.items()
        )
        return heapq.nsmallest(MOST_CANDIDATES, found, key=lambda one: (-one.uncertainty, one.stem))

    def mask(self, stem: str) -> NDArray[np.integer[Any]]:
        """Read a mask.

        Raises
        ------
        InputError
            If it is missing or damaged.
        """
        path = self.folder / self.records[stem]["mask"]
        if isinstance(path, Path) and not path.is_file():
            raise InputError(f"the mask '{path}' is missing: run `dseg predict` again")
        return read_label_file(path, "mask")[0]


def open_predicted(folder: Location, model: Path, extra: Mapping[str, Any]) -> Predicted:
    """Open a folder of masks of `dseg predict`.

    Raises
    ------
    InputError
        If the masks are of another model, or no image has an uncertainty.
    """
    records = open_manifest(folder).records
    if not records:
        raise InputError(f"'{folder}' has no masks of `dseg predict`: give its --out")
    own = fingerprint(model)
    foreign = [stem for stem, one in records.items() if not made_by(one.get("recipe"), own)]
    if foreign:
        raise InputError(
            f"'{folder}' has masks of {named(foreign)} that '{model}' did not make: predict with "
            "this model, into a folder of its own"
        )
    if any(of_network_size(record.get("recipe")) for record in records.values()):
        raise InputError(
            f"'{folder}' has masks of the network's size (predict --paper), which do not lie on "
            "the images: predict without --paper"
        )
    known = TrainingSet.of(extra)
    new = {s: r for s, r in records.items() if known.has(s, r["sha256"]) is not True}
    usable = {s: r for s, r in new.items() if _is_score(r.get("image_uncertainty"))}
    if new and not usable:
        raise InputError(
            f"the masks in '{folder}' have no uncertainty, by which images are chosen: a model of "
            "at least two members gives one"
        )
    return Predicted(folder, usable)


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < np.inf
