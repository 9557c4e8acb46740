"""A folder of masks: each is what its line in the manifest says, and each has a line."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...classify.inference.mask_files import read_mask
from ...store.bounded_reader import bounded
from ...store.errors import InputError
from ...store.json_lines import damaged_lines
from ...store.urls.walking import every_file
from ..console.progress import Progress
from ..masks.manifest import FILE, KINDS, SHA256, Manifest
from .faults import Fault, Subject, leftovers_in

__all__ = ["MasksSubject", "hash_fault"]

_EXTRAS = {"probabilities": ".npy", "uncertainty": ".npy", "overlays": ".png"}
_FIGURES = "reliability"  # of `fit --folds-out`
_LEGEND = "legend"


class MasksSubject(Subject):
    """A folder of masks."""

    kind = "masks"
    again = "repeat the same predict command"

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong: damaged lines, wrong files, and files without a line."""
        manifest = Manifest(self._path)
        self.images = len(manifest.records)
        found = [
            Fault(FILE, f"line {line} is damaged", mend=lambda: Manifest(self._path).compact(()))
            for line in damaged_lines(self._path / FILE)
        ]
        with progress.bar("verify", self.images, "images") as advance:
            for stem, record in manifest.records.items():
                found += self._of_image(stem, record)
                advance(1)
        if alone:
            found += leftovers_in(self._path)
            found += self._without_line(manifest.records.values())
        return found

    def _of_image(self, stem: str, record: Mapping[str, Any]) -> list[Fault]:
        wrong = {}
        for kind in KINDS:
            if kind in record:
                fault = self._fault(kind, record)
                if fault is not None:
                    wrong[record[kind]] = fault

        def mend() -> None:
            self._drop(stem, record, wrong)

        return [Fault(file, words, stem, mend, remade=True) for file, words in wrong.items()]

    def _fault(self, kind: str, record: Mapping[str, Any]) -> str | None:
        file, known = self._path / record[kind], record.get(SHA256, {}).get(kind)
        if known is not None:
            return hash_fault(file, known, FILE)
        try:  # of a dseg that knew no checksums: at least it can be read
            if kind == "mask":
                size = read_mask(file).shape
                told = record.get("height", size[0]), record.get("width", size[1])
                return None if size == told else f"is {size}, but '{FILE}' says {told}"
            if file.suffix == ".npy":
                np.load(file, allow_pickle=False)
            else:
                with file.open("rb") as opened, Image.open(bounded(opened)) as picture:
                    picture.load()
        except (InputError, OSError, ValueError, EOFError) as error:
            return f"cannot be read: {error}"
        return None

    def _drop(self, stem: str, record: Mapping[str, Any], wrong: Mapping[str, str]) -> None:
        """Forget an image: its wrong files may be somebody's corrections, the others are ours."""
        for kind in KINDS:
            file = self._path / record[kind] if kind in record else None
            if file is None or not (file.is_file() or file.is_symlink()):
                continue
            if record[kind] in wrong or SHA256 not in record:
                self._aside.move(file)
            else:
                file.unlink()
        Manifest(self._path).forget([stem])

    def _without_line(self, records: Iterable[Mapping[str, Any]]) -> list[Fault]:
        known = {record[kind] for record in records for kind in KINDS if kind in record}
        found = []
        for file in every_file(self._path):
            name = file.relative_to(self._path).as_posix()
            if name not in known and self._is_mask(file.relative_to(self._path)):
                words = f"has no line in '{FILE}'"
                found.append(Fault(name, words, mend=partial(self._aside.move, file)))
        return found

    def _is_mask(self, name: Path) -> bool:
        """Whether `predict` might have written a file of that name for an image."""
        if name.name.startswith("."):
            return False
        first = name.parts[0] if len(name.parts) > 1 else ""
        if first in _EXTRAS:
            return name.suffix == _EXTRAS[first] and name.stem.rstrip("_") != _LEGEND
        return name.suffix == ".png" and first != _FIGURES


def hash_fault(file: Path, sha256: str, said_by: str) -> str | None:
    """Return what is wrong with a file of which the sha256 is known, in hexadecimal."""
    try:
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() == sha256:
                return None
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return f"is not what '{said_by}' says"
