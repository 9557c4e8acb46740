"""Synthetic images as one Zarr store, an image a chunk; see `store.synthetic` for its arrays."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
import zarr.errors
from zarr.codecs import Crc32cCodec, ZstdCodec

from ...classify.labels.classes import Classes
from ...store.errors import InputError
from ...store.failed_writes import writing
from ...store.seals import sealed
from ...store.synthetic import ARRAYS, FORMAT, VERSION, is_synthetic_store
from .target import SyntheticImage, must_be_replaced

__all__ = ["SyntheticStore", "create_arrays"]

_WHOLE = {"write_empty_chunks": True}  # a chunk that is missing is lost, not zeros


class SyntheticStore:
    """A Zarr store of synthetic images, see `target.Target`.

    Parameters
    ----------
    path : path
    group : zarr.Group
        Opened there.
    """

    def __init__(self, path: Path, group: Any) -> None:
        self._path, self._group = path, group
        self._arrays = {name: group[name].with_config(_WHOLE) for name in ARRAYS}
        found = np.asarray(group["score"][:])
        self.scores: dict[int, float] = {
            number: float(score) for number, score in enumerate(found) if not math.isnan(score)
        }

    @classmethod
    def open(
        cls,
        path: Path,
        facts: Mapping[str, Any],
        classes: Classes,
        count: int,
        size: tuple[int, int],
        *,
        overwrite: bool,
    ) -> Self:
        """Go on with a store, or begin one.

        Parameters
        ----------
        path : path
        facts : mapping
            What decides each image, plain JSON values.
        classes : Classes
        count : int
            Images that there are to be; a store with more keeps them.
        size : (height, width)
            Of the images.
        overwrite : bool
            Replace the synthetic images that are there.

        Raises
        ------
        InputError
            If something else is there.
        """
        if must_be_replaced(path, _facts_of(path), facts, overwrite=overwrite):
            shutil.rmtree(path)
        if not (path / "zarr.json").is_file():
            _create(path, facts, classes, size)
        group = zarr.open_group(path, mode="r+")
        for name in ARRAYS:  # by name: locks, which lie beside them, are no arrays
            array: Any = group[name]
            if array.shape[0] < count:
                array.resize((count, *array.shape[1:]))
        return cls(path, group)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the store that `open` has made ready."""
        return cls(path, zarr.open_group(path, mode="r+"))

    def write(self, image: SyntheticImage) -> None:
        """Write an image; its score comes last.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        number, found = image.number, image.prediction
        values = {
            "images": image.pixels,
            "labels": found.mask,
            "uncertainty": found.uncertainty,
            "seed": image.seed,
            "score": found.score,
        }
        with writing(self._path):
            for name, value in values.items():
                self._arrays[name][number] = value
        assert found.score is not None  # asked for
        self.scores[number] = found.score

    def keep(self, numbers: Sequence[int]) -> None:
        """Note which images are kept, and no others.

        Raises
        ------
        DsegError
            If it cannot be written.
        """
        kept = np.zeros(self._group["kept"].shape, bool)
        kept[list(numbers)] = True
        with writing(self._path):
            self._arrays["kept"][:] = kept

    def shown(self, numbers: Sequence[int]) -> list[int]:
        """Return in how many of some images each class has a pixel."""
        counts = [0] * len(self._group.attrs["classes"])
        for number in numbers:
            for k in np.unique(self._group["labels"][number]):
                counts[int(k)] += 1
        return counts


def _create(path: Path, facts: Mapping[str, Any], classes: Classes, size: tuple[int, int]) -> None:
    group = zarr.create_group(path, zarr_format=3, overwrite=True)
    create_arrays(group, len(classes), size)
    # last: without them it is no store of ours
    attributes = {
        "format": FORMAT,
        "version": VERSION,
        "classes": classes.to_list(),
        "facts": dict(facts),
    }
    group.attrs.update(sealed(attributes))


def create_arrays(group: zarr.Group, n_classes: int, size: tuple[int, int]) -> None:
    """Create the arrays of a store, without images.

    Parameters
    ----------
    group : zarr.Group
    n_classes : int
    size : (height, width)
    """
    ids = "uint8" if n_classes <= 256 else "uint16"
    codecs = ZstdCodec(level=0), Crc32cCodec()
    for name, inner, dtype, fill in (
        ("images", (*size, 3), "uint8", 0),
        ("labels", size, ids, 0),
        ("uncertainty", size, "float32", 0.0),
        ("seed", (), "int64", 0),
        ("score", (), "float32", math.nan),
    ):
        group.create_array(
            name,
            shape=(0, *inner),
            chunks=(1, *inner),
            dtype=dtype,
            fill_value=fill,
            compressors=codecs,
        )
    group.create_array(
        "kept", shape=(0,), chunks=(4096,), dtype="bool", fill_value=False, compressors=codecs
    )


def _facts_of(path: Path) -> dict[str, Any] | None:
    """Return the facts of a store; None if it is none of ours."""
    if not is_synthetic_store(path):
        return None
    try:
        attributes = dict(zarr.open_group(path, mode="r").attrs)
    except (zarr.errors.BaseZarrError, ValueError, OSError):
        return None
    if attributes.get("version") != VERSION:
        raise InputError(
            f"'{path}' holds synthetic images of format version {attributes.get('version')}; this "
            f"dseg reads version {VERSION}: give another --out"
        )
    facts = attributes.get("facts")
    return facts if isinstance(facts, dict) else None
