"""Synthetic images as folders of files, in the layout that `dseg fit` and other tools read.

=======================  ===============================================================
``images/000000.png``    the images: a folder as `dseg sample` writes it
``labels/000000.png``    their masks, index PNGs
``uncertainty/….npy``    of each pixel, float32, nats
``classes.txt``          a class name a line
``kept.txt``             stems of the images that are kept, for ``--list``
``synthetic.json``       how all were made
``synthetic.jsonl``      one line an image: stem, score, class ids that its mask shows
=======================  ===============================================================
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...classify.inference.mask_files import encode_mask, write_array, write_encoded
from ...classify.labels.classes import Classes
from ...generate.folder import name_of
from ...store.errors import DsegError
from ...store.names import stem_of
from .target import Drawn, must_be_replaced

__all__ = ["FACTS", "IMAGES", "KEPT", "SyntheticFolder"]

FACTS, IMAGES, KEPT = "synthetic.json", "images", "kept.txt"
_RECORDS, _CLASSES = "synthetic.jsonl", "classes.txt"
_PARTS = {IMAGES: ".png", "labels": ".png", "uncertainty": ".npy"}


class SyntheticFolder:
    """A folder of synthetic images, see `target.Target`; their files are written by `SampleFolder`.

    Parameters
    ----------
    path : path
    classes : Classes

    Attributes
    ----------
    scores : dict
    """

    def __init__(self, path: Path, classes: Classes) -> None:
        self._path, self._classes = path, classes
        self._records = {
            number: record
            for number, record in _read_records(path / _RECORDS).items()
            if all(file.is_file() for file in self._files(number).values())
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
        write_encoded(path / FACTS, (json.dumps(facts, indent=1) + "\n").encode())
        names = "".join(f"{name}\n" for name in classes.names)
        write_encoded(path / _CLASSES, names.encode())
        return cls(path, classes)

    def write(self, drawn: Drawn) -> None:
        """Write mask and uncertainty of an image, then its line in the record.

        Raises
        ------
        DsegError
            If a file cannot be written.
        """
        found, files = drawn.prediction, self._files(drawn.number)
        assert found.uncertainty is not None
        assert found.score is not None
        write_encoded(files["labels"], encode_mask(found.mask, self._classes.colours))
        write_array(files["uncertainty"], found.uncertainty)
        record = {
            "stem": stem_of(name_of(drawn.number)),
            "score": found.score,
            "classes": np.unique(found.mask).tolist(),
        }
        path = self._path / _RECORDS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise DsegError(f"cannot write '{path}': {error.strerror or error}") from error
        self._records[drawn.number], self.scores[drawn.number] = record, found.score

    def keep(self, numbers: Sequence[int]) -> None:
        """Write the list of the images that are kept."""
        lines = "".join(f"{stem_of(name_of(number))}\n" for number in numbers)
        write_encoded(self._path / KEPT, lines.encode())

    def shown(self, numbers: Sequence[int]) -> list[int]:
        """Return in how many of some images each class has a pixel."""
        counts = [0] * len(self._classes)
        for number in numbers:
            for k in self._records[number]["classes"]:
                counts[k] += 1
        return counts

    def _files(self, number: int) -> dict[str, Path]:
        stem = stem_of(name_of(number))
        return {part: self._path / part / f"{stem}{suffix}" for part, suffix in _PARTS.items()}


def _read_records(path: Path) -> dict[int, dict[str, Any]]:
    """Return the record of each image; a line that a kill cut off is removed."""
    data = path.read_bytes() if path.is_file() else b""
    if data and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        write_encoded(path, data)
    found: dict[int, dict[str, Any]] = {}
    for line in data.decode(errors="replace").splitlines():
        try:
            record = json.loads(line)
            float(record["score"])
            found[int(record["stem"])] = {**record, "classes": list(record["classes"])}
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def _facts_of(path: Path) -> dict[str, Any] | None:
    file = path / FACTS
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _remove(path: Path) -> None:
    """Remove what was written, the facts last: a removal that was killed goes on."""
    for part in _PARTS:
        shutil.rmtree(path / part, ignore_errors=True)
    for name in (_RECORDS, KEPT, _CLASSES, FACTS):
        (path / name).unlink(missing_ok=True)
