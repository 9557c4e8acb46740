"""A folder of masks: which files there are, which this model wrote, and how they are written."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classify.classes import Colour
from ..classify.masks import encode_mask, write_array, write_encoded, write_overlay
from ..classify.model_files import FACTS, files_of
from ..classify.prediction import Prediction
from ..extract.images import ImageFiles, read_image, sha256_of
from ..extract.levels import FULL
from ..store.errors import DsegError, InputError
from .manifest import Manifest
from .selection import named

__all__ = ["Asked", "MaskFiles", "Prepared", "fingerprint", "refuse_among", "refuse_other_uses"]


@dataclass(frozen=True)
class Asked:
    """What is to be written of each image.

    Parameters
    ----------
    probabilities, uncertainty, overlay : bool
        Beside the mask.
    paper : bool
        Masks of the row's size.
    images : mapping of str to path, optional
        The images by stem, to draw overlays over.
    white : int
        The value of images of 16 bits a channel that is white.
    """

    probabilities: bool = False
    uncertainty: bool = False
    overlay: bool = False
    paper: bool = False
    images: Mapping[str, Path] | None = None
    white: int = FULL


def refuse_other_uses(out: Path) -> None:
    """Refuse to write masks into a model or a store: who replaces that would lose them."""
    for file, what in ((FACTS, "a model"), ("zarr.json", "a feature store")):
        if (out / file).is_file():
            raise InputError(f"'{out}' holds {what}: give the masks a folder of their own, --out")


def refuse_among(images: ImageFiles, out: Path) -> None:
    """Refuse to write pictures among the images: the next run would take them for images.

    Or to write over them, where single ones are given.
    """
    whole = out.resolve()
    if any(whole.is_relative_to(folder) for folder in images.folders):
        raise InputError(
            f"'{out}' lies in {images.where}, so what is written there would be taken for images "
            "the next time: give another --out"
        )
    taken = {path.resolve() for path in images.files.values()} if not images.folders else set()
    over = [stem for stem in images.by_stem if whole / f"{stem}.png" in taken]
    if over:
        raise InputError(
            f"the mask '{out / over[0]}.png' would replace the image itself: give another --out"
        )


def fingerprint(folder: Path) -> str:
    """Return a sha256 over the files of a model, by which it is known again."""
    digest = hashlib.sha256()
    for path in files_of(folder):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Prepared:
    """An image all of whose files are written but the mask.

    Parameters
    ----------
    path : path
        Of the mask.
    mask : bytes
    record : mapping
        Its line of the manifest.
    n_bytes : int
        Of all files.
    """

    path: Path
    mask: bytes
    record: Mapping[str, Any]
    n_bytes: int


class MaskFiles:
    """Writes what was asked for of each image, in two steps.

    Parameters
    ----------
    out : path
        The folder.
    asked : Asked
    colours : sequence of Colour
        Of the classes.
    members : int
    model : str
        By what masks know the model again: its `fingerprint`.
    """

    def __init__(
        self, out: Path, asked: Asked, colours: Sequence[Colour], members: int, model: str
    ) -> None:
        self._out, self._asked, self._members, self._model = out, asked, members, model
        self._colours = colours
        self._manifest = Manifest(out)
        self._recipe = f"{model}{'-paper' if asked.paper else ''}"
        if asked.overlay and asked.images is None:
            raise InputError("overlays are drawn over the images: say where they are, --images")
        if asked.uncertainty and members < 2:
            raise InputError("--uncertainty is how far members disagree: the model has only one")
        if asked.overlay and asked.paper:
            raise InputError("--paper writes masks of the network's size, which fit no --overlay")

    def elsewhere(self, out: Path) -> "MaskFiles":
        """Return the same, but in another folder."""
        return MaskFiles(out, self._asked, self._colours, self._members, self._model)

    def _files(self, stem: str) -> dict[str, Path]:
        """Return the files of an image that are asked for, by kind."""
        out, asked = self._out, self._asked
        files = {"mask": out / f"{stem}.png"}
        if asked.probabilities:
            files["probabilities"] = out / "probabilities" / f"{stem}.npy"
        if asked.uncertainty:
            files["uncertainty"] = out / "uncertainty" / f"{stem}.npy"
        if asked.overlay:
            files["overlay"] = out / "overlays" / f"{stem}.png"
        return files

    def check_apart(self, stems: Sequence[str]) -> None:
        """Refuse images whose masks would be what is written beside other masks."""
        owner = {self._files(stem)["mask"]: stem for stem in stems}
        for stem in stems:
            for kind, path in self._files(stem).items():
                if owner.get(path, stem) != stem:
                    raise InputError(
                        f"'{path}' would be both the mask of '{owner[path]}' and the {kind} of "
                        f"'{stem}': rename that sub-folder of the images, or do without --{kind}"
                    )

    def check_free(self, stems: list[str]) -> None:
        """Refuse to write over what this model has not written."""
        records = self._manifest.records
        foreign = [s for s in stems if s not in records and self._files(s)["mask"].exists()]
        if foreign:
            raise InputError(
                f"'{self._out}' holds files that `dseg predict` did not write, such as "
                f"{named(f'{s}.png' for s in foreign)}: give another --out, or --overwrite"
            )
        others = [s for s in stems if s in records and records[s].get("recipe") != self._recipe]
        if others:
            raise InputError(
                f"'{self._out}' holds masks of {named(others)} by another model: give "
                "another --out, or --overwrite"
            )

    def others(self, stems: list[str]) -> int:
        """Return of how many images there are masks that this run is not about."""
        return len(self._manifest.records.keys() - set(stems))

    def is_done(self, stem: str, sha256: bytes) -> bool:
        """Say whether all files of an image are there, of this model and this very image."""
        record = self._manifest.records.get(stem, {})
        return self.is_recorded(stem) and record.get("sha256") == sha256.hex()

    def is_recorded(self, stem: str) -> bool:
        """Say whether all files of an image are there, of this model, whatever the image then."""
        record = self._manifest.records.get(stem, {})
        return record.get("recipe") == self._recipe and all(
            path.is_file() for path in self._files(stem).values()
        )

    def prepare(self, stem: str, name: str, sha256: bytes, prediction: Prediction) -> Prepared:
        """Write what stands beside an image's mask, each file whole or not at all; encode the mask.

        What takes time; different images may be prepared by several threads at once.
        """
        files = self._files(stem)
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if "probabilities" in files:
            write_array(files["probabilities"], _there(prediction.probabilities))
        if "uncertainty" in files:
            write_array(files["uncertainty"], _there(prediction.uncertainty))
        if "overlay" in files:
            pixels = self._pixels(stem, name, sha256)
            write_overlay(files["overlay"], pixels, prediction.mask, self._colours)
        record = {
            "stem": stem,
            "image": name,
            "sha256": sha256.hex(),
            "recipe": self._recipe,
            "height": int(prediction.mask.shape[0]),
            "width": int(prediction.mask.shape[1]),
            "image_uncertainty": prediction.score,
            **{kind: path.relative_to(self._out).as_posix() for kind, path in files.items()},
        }
        mask = encode_mask(prediction.mask, self._colours)
        beside = sum(path.stat().st_size for kind, path in files.items() if kind != "mask")
        return Prepared(files["mask"], mask, record, len(mask) + beside)

    def finish(self, prepared: Prepared) -> None:
        """Write the line of the manifest, see there, and then the mask.

        An old mask must not pass for the new one in between. One image after the other: so the
        lines stand in the images' order.
        """
        prepared.path.unlink(missing_ok=True)
        self._manifest.add(prepared.record)
        write_encoded(prepared.path, prepared.mask)

    def _pixels(self, stem: str, name: str, sha256: bytes) -> NDArray[np.uint8]:
        assert self._asked.images is not None  # `__init__` checked it
        path = self._asked.images.get(stem)
        if path is None:
            raise DsegError(f"'{name}' is not among --images, so its mask cannot be drawn over it")
        if sha256_of(path) != sha256:
            raise DsegError(
                f"'{path}' is not the image that the features are of, so its mask cannot be drawn "
                "over it: run extract again, or give the right --images"
            )
        return read_image(path, self._asked.white)


def _there(array: NDArray[Any] | None) -> NDArray[Any]:
    if array is None:
        raise DsegError("the prediction lacks what was asked for")
    return array
