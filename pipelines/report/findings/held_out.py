"""The held-out images: label map, mask and uncertainty of each, one image in memory at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....classify.label_sets.label_set import LabelOptions
from ....classify.label_sets.opening import open_label_set
from ....classify.labels.label_entry import LabelEntry
from ....classify.labels.label_maps import read_label_file
from ....store.errors import InputError
from ....store.urls.location import Location
from ...inputs.image_list import named
from ...inputs.labelled_pixels import images_among_labels
from ...masks.open_manifest import open_manifest
from ...masks.training_set import LEARNT_KEY
from .facts import CrossValidationFacts, read_facts

__all__ = ["HeldOut", "HeldOutMasks", "open_held_out"]


@dataclass(frozen=True)
class HeldOut:
    """One image that the masks' ensemble has not learnt from.

    Parameters
    ----------
    stem, name, sha256 : str
    label, mask : arrays of shape (H, W), integer
    uncertainty : array of shape (H, W), float32, optional
        Of each pixel, in nats; None of an ensemble of one member.
    score : float, optional
        `image_uncertainty`.
    """

    stem: str
    name: str
    sha256: str
    label: NDArray[np.integer[Any]]
    mask: NDArray[np.integer[Any]]
    uncertainty: NDArray[np.float32] | None
    score: float | None


@dataclass(frozen=True)
class HeldOutMasks:
    """A folder of held-out masks, and their label maps.

    Parameters
    ----------
    folder : path
    facts : CrossValidationFacts
    records : mapping
        Of the manifest, by stem.
    labels : mapping
        The label map of each image, by stem, in the order of the folds.
    """

    folder: Path
    facts: CrossValidationFacts
    records: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, LabelEntry]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[HeldOut]:
        return map(self.read, self.labels)

    def read(self, stem: str) -> HeldOut:
        """Read one image's files.

        Raises
        ------
        InputError
            If one is missing or damaged, or their sizes differ.
        """
        record = self.records[stem]
        mask, _ = read_label_file(self._file(record["mask"]), "mask")
        label = self.labels[stem].shown_as((mask.shape[0], mask.shape[1])).read()
        if label.shape != mask.shape:
            raise InputError(
                f"the held-out mask of '{stem}' is {mask.shape[1]}×{mask.shape[0]}, but its label "
                f"map '{self.labels[stem].name}' is {label.shape[1]}×{label.shape[0]}: give the "
                "label maps that the model was fitted on with --labels"
            )
        score = record.get("image_uncertainty")
        return HeldOut(
            stem,
            record["image"],
            record["sha256"],
            label,
            mask,
            self._uncertainty(record, mask.shape),
            float(score) if isinstance(score, int | float) and 0 <= score < np.inf else None,
        )

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():  # a pipe would never end
            raise InputError(f"'{path}' is missing: run `dseg fit --folds K --folds-out` again")
        return path

    def _uncertainty(
        self, record: Mapping[str, Any], shape: tuple[int, ...]
    ) -> NDArray[np.float32] | None:
        if "uncertainty" not in record:
            return None
        path = self._file(record["uncertainty"])
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            if mapped.shape != shape or mapped.dtype.kind != "f":
                raise ValueError(f"it holds {mapped.dtype} {mapped.shape}, not floats {shape}")
            return np.maximum(np.nan_to_num(np.array(mapped, np.float32)), 0)
        except Exception as error:  # whatever NumPy and Python's parser make of a damaged header
            raise InputError(
                f"the uncertainty '{path}' cannot be read: {error}. Run `dseg fit --folds K "
                "--folds-out` again"
            ) from error


def open_held_out(
    folder: Path, labels: Location, recorded: object, ignore: int = 255
) -> HeldOutMasks:
    """Open a folder of held-out masks.

    Parameters
    ----------
    folder : path
        Of `dseg fit --folds-out`.
    labels : path
        The label maps, or an annotation file.
    recorded : object
        What the model recorded of its cross-validation.
    ignore : int
        Id of the pixels of label maps without a class.

    Raises
    ------
    InputError
        If it holds other masks than held-out ones, those of another model, or has no label map of
        an image.
    """
    plain, facts = read_facts(folder)
    if plain != recorded:
        raise InputError(
            f"the held-out masks in '{folder}' are not of the run of `dseg fit` that wrote the "
            "model: give the --folds-out of that run, or fit again with --folds and --folds-out"
        )
    records = open_manifest(folder).records
    learnt = [stem for stem, record in records.items() if record.get(LEARNT_KEY) is not False]
    if learnt or not records:
        what = f"masks that are not held out, such as {named(learnt[:1])}" if learnt else "no masks"
        raise InputError(
            f"'{folder}' contains {what}: give a folder that `dseg fit --folds-out` wrote"
        )
    known = ((r["image"], r["sha256"]) for r in records.values())
    images = images_among_labels(labels, known) if labels.is_dir() else []
    found = open_label_set(labels, records.keys(), images, LabelOptions(ignore)).entries
    missing = [stem for stem in records if stem not in found]
    if missing:
        raise InputError(
            f"'{labels}' has no label map of {named(missing)}, of which there are held-out masks: "
            "give the label maps that the model was fitted on with --labels"
        )
    return HeldOutMasks(folder, facts, records, {stem: found[stem] for stem in records})
