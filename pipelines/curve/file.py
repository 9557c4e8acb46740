"""``curve.json``: the finished trainings of a learning curve, and what they depend on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ...classify.inference.mask_files import write_encoded
from ...store.atomic_folder import is_free
from ...store.errors import InputError
from .plan import Draw

__all__ = ["FILE", "CurveFile"]

FILE = "curve.json"
FORMAT = "dseg-curve"


class CurveFile:
    """The cells of a curve, each on disk as soon as it is added.

    Parameters
    ----------
    folder : path
        Made when the first cell is added.
    identity : mapping
        What all cells have in common, as plain JSON values.
    cells : sequence of dict
        Those that are there.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], cells: Sequence[dict[str, Any]]
    ) -> None:
        self._path, self._identity = folder / FILE, dict(identity)
        self._cells = {(cell["draw"], cell["images"]): cell for cell in cells}

    @classmethod
    def at(cls, folder: Path, identity: Mapping[str, Any], overwrite: bool) -> Self:
        """Open the curve of a folder, or begin one.

        Raises
        ------
        InputError
            If something else is there, or a curve of other images, labels or settings that may not
            be replaced.
        """
        path = folder / FILE
        if not path.is_file():
            if not is_free(folder):
                raise InputError(
                    f"'{folder}' exists but does not contain a curve: choose another folder "
                    "with --out"
                )
            return cls(folder, identity, [])
        if overwrite:
            return cls(folder, identity, [])
        found = _read(path)
        other = _differences(found["identity"], identity)
        if other:
            raise InputError(
                f"'{folder}' contains a curve made with other {', '.join(other)}: choose "
                "another folder (--out), or replace it (--overwrite)"
            )
        return cls(folder, identity, found["cells"])

    def has(self, draw: int, images: int) -> bool:
        """Say whether a cell is there."""
        return (draw, images) in self._cells

    def add(self, cell: dict[str, Any]) -> None:
        """Add a cell, and write all."""
        self._cells[cell["draw"], cell["images"]] = cell
        cells = [self._cells[key] for key in sorted(self._cells)]
        facts = {"format": FORMAT, "version": 1, "identity": self._identity, "cells": cells}
        write_encoded(self._path, (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode())

    def counts_of(self, draws: Sequence[Draw]) -> list[int]:
        """Return the numbers of images of which the cells of all these draws are there."""
        known = {images for _, images in self._cells}
        return sorted(n for n in known if all(self.has(draw.number, n) for draw in draws))

    def cells_of(self, draws: Sequence[Draw], counts: Sequence[int]) -> list[dict[str, Any]]:
        """Return the cells of some draws and numbers of images; there may be more."""
        return [self._cells[draw.number, n] for draw in draws for n in counts]


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT or facts["version"] != 1:
            raise InputError(
                f"'{path}' is not a curve that this version of dseg can read: choose another --out"
            )
        for cell in facts["cells"]:
            _ = cell["draw"], cell["images"], cell["mean_iou"]
        return {"identity": dict(facts["identity"]), "cells": list(facts["cells"])}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"'{path}' is damaged: {error!r}. Choose another --out, or start again with --overwrite"
        ) from error


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return in words what of an identity differs; the training options by their own names."""
    words = {"images_and_labels": "images or labels", "ignore": "--ignore", "test": "--test-list"}
    other = [words.get(key, key) for key in here if there.get(key) != here[key]]
    if "options" in other:
        known = there.get("options") or {}
        names = [name for name, value in here["options"].items() if known.get(name) != value]
        told = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        other[other.index("options")] = f"training options ({told})"
    return other
