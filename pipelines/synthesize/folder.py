"""Synthetic images as folders of files, in the layout that `dseg fit` and other tools read.

=======================  ===============================================================
``images/000000.png``    the images: a folder as `dseg sample` writes it
``labels/000000.png``    their masks, index PNGs
``uncertainty/….npy``    of each pixel, float32, nats
``classes.txt``          a class name a line
``kept.txt``             stems of the images that are kept, for ``--list``
``synthetic.json``       how all were made; sha256 of the two files of text
``synthetic.jsonl``      one line an image: stem, score, class ids that its mask shows, sha256
                         of mask and uncertainty
=======================  ===============================================================
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...classify.inference.mask_files import encode_mask, write_array
from ...classify.labels.classes import Classes
from ...generate.folder import name_of
from ...store.json_lines import append_record, records_in, rewrite_records
from ...store.names import stem_of
from ...store.seals import SEAL, sealed
from ...store.texts import object_in
from ...store.whole_file import write_whole
from .target import SyntheticImage, must_be_replaced

__all__ = [
    "CLASSES",
    "FACTS",
    "IMAGES",
    "KEPT",
    "RECORDS",
    "SHA256",
    "SyntheticFolder",
    "files_of",
    "read_records",
]

FACTS, IMAGES, KEPT = "synthetic.json", "images", "kept.txt"
RECORDS, CLASSES = "synthetic.jsonl", "classes.txt"
SHA256 = "sha256"
"""Under which a record has that of each of its files, and the facts that of the files of text."""
_PARTS = {IMAGES: ".png", "labels": ".png", "uncertainty": ".npy"}


class SyntheticFolder:
    """A folder of synthetic images, see `target.Target`; their files are written by `SampleFolder`.

    Parameters
    ----------
    path : path
    classes : Classes
    exclusive : callable
        Context manager that makes other writers of the folder wait: `Claim.exclusive`.

    Attributes
    ----------
    scores : dict
    """

    def __init__(
        self,
        path: Path,
        classes: Classes,
        exclusive: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._path, self._classes, self._exclusive = path, classes, exclusive
        self._records = {
            number: record
            for number, record in read_records(path / RECORDS).items()
            if all(file.is_file() for file in files_of(path, number).values())
        }
        self.scores = {number: float(record["score"]) for number, record in self._records.items()}

    @classmethod
    def open(
        cls, path: Path, facts: Mapping[str, Any], classes: Classes, *, overwrite: bool
    ) -> Self:
        """Go on with a folder, or begin one.

        Parameters
        ----------
        path : path
        facts : mapping
            What decides each image, plain JSON values.
        classes : Classes
        overwrite : bool
            Replace the synthetic images that are there.

        Raises
        ------
        InputError
            If something else is there.
        """
        if must_be_replaced(path, _facts_of(path), facts, overwrite=overwrite):
            _remove(path)
        write_whole(path / FACTS, _facts_bytes(facts))
        write_whole(path / CLASSES, _class_lines(classes))
        return cls(path, classes)

    def write(self, image: SyntheticImage) -> None:
        """Write mask and uncertainty of an image, then its line in the record.

        Raises
        ------
        DsegError
            If a file cannot be written.
        """
        found, files = image.prediction, files_of(self._path, image.number)
        assert found.uncertainty is not None
        assert found.score is not None
        write_whole(files["labels"], encode_mask(found.mask, self._classes.colours))
        write_array(files["uncertainty"], found.uncertainty)
        written = {part: _sha256(files[part].read_bytes()) for part in ("labels", "uncertainty")}
        record = sealed(
            {
                "stem": stem_of(name_of(image.number)),
                "score": found.score,
                "classes": np.unique(found.mask).tolist(),
                SHA256: written,
            }
        )
        with self._exclusive():
            append_record(self._path / RECORDS, record)
        self._records[image.number], self.scores[image.number] = record, found.score

    def keep(self, numbers: Sequence[int]) -> None:
        """Write the list of the images that are kept, and one line of the record an image."""
        rewrite_records(self._path / RECORDS, (r for _, r in sorted(self._records.items())))
        lines = "".join(f"{stem_of(name_of(number))}\n" for number in numbers).encode()
        write_whole(self._path / KEPT, lines)
        texts = {CLASSES: _sha256(_class_lines(self._classes)), KEPT: _sha256(lines)}
        write_whole(
            self._path / FACTS, _facts_bytes({**(_facts_of(self._path) or {}), SHA256: texts})
        )

    def shown(self, numbers: Sequence[int]) -> list[int]:
        """Return in how many of some images each class has a pixel."""
        counts = [0] * len(self._classes)
        for number in numbers:
            for k in self._records[number]["classes"]:
                counts[k] += 1
        return counts


def files_of(path: Path, number: int) -> dict[str, Path]:
    """Return the files of an image in a folder of synthetic ones, by part."""
    stem = stem_of(name_of(number))
    return {part: path / part / f"{stem}{suffix}" for part, suffix in _PARTS.items()}


def read_records(path: Path) -> dict[int, dict[str, Any]]:
    """Return the record of each image, by number; what is none is left out."""
    found: dict[int, dict[str, Any]] = {}
    for record in records_in(path.read_bytes() if path.is_file() else b""):
        stem, score, classes = (record.get(key) for key in ("stem", "score", "classes"))
        known = isinstance(score, float) and isinstance(classes, list)
        if known and isinstance(stem, str) and stem.isdecimal():
            found[int(stem)] = record
    return found


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _class_lines(classes: Classes) -> bytes:
    return "".join(f"{name}\n" for name in classes.names).encode()


def _facts_bytes(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(sealed(facts), indent=1) + "\n").encode()


def _facts_of(path: Path) -> dict[str, Any] | None:
    found = object_in(path / FACTS)
    if found is None:
        return None
    return {key: value for key, value in found.items() if key not in (SEAL, SHA256)}


def _remove(path: Path) -> None:
    """Remove what was written, the facts last: a removal that was killed goes on."""
    for part in _PARTS:
        shutil.rmtree(path / part, ignore_errors=True)
    for name in (RECORDS, KEPT, CLASSES, FACTS):
        (path / name).unlink(missing_ok=True)
