"""A folder of masks: which files there are, which this model wrote, and how they are written."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...classify.ensemble.model_files import FACTS, files_of
from ...classify.inference.contrast import overlay_colours
from ...classify.inference.legend import write_legend
from ...classify.inference.mask_files import write_array, write_mask, write_overlay
from ...classify.inference.prediction import Prediction
from ...classify.labels.classes import Classes
from ...extract.images.files import ImageFiles
from ...extract.images.levels import FULL
from ...extract.images.reading import read_image, sha256_of
from ...store.atomic_folder import part_of
from ...store.errors import DsegError, InputError
from ..inputs.image_list import named
from .manifest import FILE, KINDS, Manifest, of_one_prediction

__all__ = [
    "Asked",
    "MaskFiles",
    "Prepared",
    "fingerprint",
    "recipe_of",
    "refuse_among",
    "refuse_other_uses",
]

_LEGEND = "legend"
_PLACES = {
    "mask": (".", ".png"),
    "probabilities": ("probabilities", ".npy"),
    "uncertainty": ("uncertainty", ".npy"),
    "overlay": ("overlays", ".png"),
}


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
            raise InputError(
                f"'{out}' contains {what}: give another folder for the masks with --out"
            )


def refuse_among(images: ImageFiles, out: Path) -> None:
    """Refuse to write pictures among the images: the next run would take them for images.

    Or to write over them, where single ones are given.
    """
    whole = out.resolve()
    if any(whole.is_relative_to(folder) for folder in images.folders):
        raise InputError(
            f"'{out}' is inside of {images.where}, so the masks would be read as images in "
            "the next run: give another --out"
        )
    single = [] if images.folders else list(images.files.values())
    over = {path.resolve() for path in single} & {whole / f"{s}.png" for s in images.by_stem}
    if over:
        raise InputError(
            f"the mask '{out / min(over).name}' would replace the image itself: give another --out"
        )
    beside = [path for path in single if path.parent.resolve() == whole]
    if beside:
        raise InputError(
            f"'{out}' contains the image '{beside[0].name}', so masks written there would be "
            "read as images in the next run: give another --out"
        )


def fingerprint(folder: Path) -> str:
    """Return a sha256 over the files of a model, by which it is known again."""
    digest = hashlib.sha256()
    for path in files_of(folder):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def recipe_of(model: str, *, paper: bool) -> str:
    """Return by what masks know how they were made, from a model's `fingerprint`."""
    return f"{model}-paper" if paper else model


@dataclass(frozen=True)
class Prepared:
    """An image all of whose files are written, under temporary names.

    Parameters
    ----------
    parts : mapping of str to (path, path)
        By kind: the file as it is, and the name that it is to have.
    record : mapping
        The image's line in the manifest.
    n_bytes : int
        Of all files.
    """

    parts: Mapping[str, tuple[Path, Path]]
    record: Mapping[str, Any]
    n_bytes: int


class MaskFiles:
    """Writes what was asked for of each image, in two steps.

    Parameters
    ----------
    out : path
        The folder.
    asked : Asked
    classes : Classes
        Their names are for the legend of overlays.
    members : int
    model : str
        By what masks know the model again: its `fingerprint`.
    alone : callable
        Keeps other runs that write into the folder waiting, for a moment: `Claim.alone`.
    """

    def __init__(
        self,
        out: Path,
        asked: Asked,
        classes: Classes,
        members: int,
        model: str,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._out, self._asked, self._members, self._model = out, asked, members, model
        self._classes, self._alone = classes, alone
        self._kinds = [kind for kind in KINDS if kind == "mask" or getattr(asked, kind)]
        self._unfinished: set[Path] = set()
        if asked.overlay and asked.images is None:
            raise InputError("overlays are drawn on the images: give their folder with --images")
        if asked.uncertainty and members < 2:
            raise InputError(
                "--uncertainty measures how far members disagree, but the model has only one member"
            )
        if asked.overlay and asked.paper:
            raise InputError(
                "--paper writes masks of the network's size, so it cannot be combined with "
                "--overlay"
            )
        self._shown = overlay_colours(classes.colours)
        self._recipe = recipe_of(model, paper=asked.paper)
        self._check_inside("the manifest", out / FILE)
        with alone():
            self._manifest = Manifest(out)

    def elsewhere(self, out: Path) -> "MaskFiles":
        """Return the same, but in another folder."""
        return MaskFiles(out, self._asked, self._classes, self._members, self._model)

    def _path(self, kind: str, stem: str) -> Path:
        """Return the file of a kind that an image has, if it has one."""
        folder, ending = _PLACES[kind]
        return self._out / folder / f"{stem}{ending}"

    def _files(self, stem: str) -> dict[str, Path]:
        """Return the files of an image that are asked for, by kind."""
        return {kind: self._path(kind, stem) for kind in self._kinds}

    def _check_inside(self, what: str, path: Path) -> None:
        """Refuse to write what would lie elsewhere, by a name or by a link in the folder.

        The folder itself may be a link. A link under a file's own name is replaced, not followed.
        """
        if not path.resolve().is_relative_to(self._out.resolve()):
            raise InputError(
                f"{what} would be written outside of '{self._out}', to '{path.resolve()}': "
                "does a link in that folder, or the name of an image, lead there? Remove the "
                "link, or give another --out"
            )

    def check_apart(self, stems: Sequence[str]) -> None:
        """Refuse images whose masks would be what is written beside other masks, or elsewhere."""
        files = {stem: self._files(stem) for stem in stems}
        owner = {paths["mask"]: stem for stem, paths in files.items()}
        folders = dict[Path, str]()
        for stem, paths in files.items():
            for kind, path in paths.items():
                folders.setdefault(path.parent, f"the {kind} of '{stem}'")
                if owner.get(path, stem) != stem:
                    raise InputError(
                        f"'{path}' would be both the mask of '{owner[path]}' and the {kind} "
                        f"of '{stem}': rename that sub-folder of the images, or leave out "
                        f"--{kind}"
                    )
        for folder, what in folders.items():
            self._check_inside(what, folder)

    def check_free(self, stems: list[str]) -> None:
        """Refuse to write over what this model has not written."""
        records = self._manifest.records
        foreign = [s for s in stems if s not in records and self._files(s)["mask"].exists()]
        if foreign:
            raise InputError(
                f"'{self._out}' contains files that `dseg predict` did not write, such as "
                f"{named(f'{s}.png' for s in foreign)}: give another --out, or use "
                "--overwrite"
            )
        others = [s for s in stems if s in records and records[s].get("recipe") != self._recipe]
        if others:
            raise InputError(
                f"'{self._out}' contains masks of {named(others)} by another model: give "
                "another --out, or use --overwrite"
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

    @contextmanager
    def writing(self, stems: Sequence[str]) -> Iterator[None]:
        """Write what belongs to no single image; in the end leave the folder in order.

        That is with one line an image in the manifest, and without a file that was not finished.

        Parameters
        ----------
        stems : sequence of str
            All images there are, in the order that their lines are to have.
        """
        if self._asked.overlay:
            path = self._legend(stems)
            self._check_inside("the legend of the overlays", path.parent)
            write_legend(path, self._classes.names, self._shown)
        try:
            yield
        finally:
            for part in list(self._unfinished):
                with suppress(OSError):
                    part.unlink(missing_ok=True)
            with self._alone():
                self._manifest.compact(stems)

    def _legend(self, stems: Collection[str]) -> Path:
        """Return where the legend of the overlays goes: no image may have that overlay."""
        name, taken = _LEGEND, self._manifest.records.keys() | set(stems)
        while name in taken:
            name += "_"
        return self._path("overlay", name)

    def prepare(self, stem: str, name: str, sha256: bytes, prediction: Prediction) -> Prepared:
        """Write all of a prediction under temporary names.

        What takes time; different images may be prepared by several threads at once.
        """
        files = self._files(stem)
        for kind, path in files.items():
            self._check_inside(f"the {kind} of '{stem}'", path.parent)
        parts = {kind: (part_of(path), path) for kind, path in files.items()}
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
        self._unfinished.update(part for part, _ in parts.values())
        try:
            for kind, (part, path) in parts.items():
                self._write(kind, path, part, (stem, name, sha256), prediction)
            n_bytes = sum(part.stat().st_size for part, _ in parts.values())
        except BaseException:
            self._discard(parts)
            raise
        return Prepared(parts, record, n_bytes)

    def _write(
        self,
        kind: str,
        path: Path,
        part: Path,
        image: tuple[str, str, bytes],
        prediction: Prediction,
    ) -> None:
        if kind == "mask":
            write_mask(path, prediction.mask, self._classes.colours, under=part)
        elif kind == "overlay":
            write_overlay(path, self._pixels(*image), prediction.mask, self._shown, under=part)
        else:
            write_array(path, _there(getattr(prediction, kind)), under=part)

    def finish(self, prepared: Prepared) -> None:
        """Give an image's files their names: extras, then the manifest's line, then the mask.

        All of them at once for other runs; and an old mask must not pass for the new one in
        between. One image after the other: so the lines stand in the images' order.
        """
        extras = dict(prepared.parts)
        part, mask = extras.pop("mask")
        with self._alone():
            self._manifest.catch_up()
            try:
                mask.unlink(missing_ok=True)
                for made, path in extras.values():
                    made.replace(path)
                self._manifest.add({**self._beside(prepared.record), **prepared.record})
                part.replace(mask)
            except OSError as error:
                raise DsegError(f"cannot write '{mask}': {error.strerror or error}") from error
            finally:
                self._discard(prepared.parts)

    def _beside(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return what else there is of a prediction; remove what is of another one."""
        stem = record["stem"]
        old = self._manifest.records.get(stem, {})
        more = [kind for kind in KINDS if kind in old and kind not in record]
        if of_one_prediction(old, record):
            return {kind: old[kind] for kind in more if self._path(kind, stem).is_file()}
        for kind in more:
            path = self._path(kind, stem)
            self._check_inside(f"the {kind} of '{stem}'", path.parent)
            path.unlink(missing_ok=True)
        return {}

    def _discard(self, parts: Mapping[str, tuple[Path, Path]]) -> None:
        for part, _ in parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._unfinished.discard(part)

    def _pixels(self, stem: str, name: str, sha256: bytes) -> NDArray[np.uint8]:
        assert self._asked.images is not None  # `__init__` checked it
        path = self._asked.images.get(stem)
        if path is None:
            raise DsegError(f"'{name}' is not among --images, so no overlay can be drawn")
        if sha256_of(path) != sha256:
            raise DsegError(
                f"'{path}' is not the image that the features were extracted from, so no "
                "overlay can be drawn: run extract again, or give the right --images"
            )
        return read_image(path, self._asked.white)


def _there(array: NDArray[Any] | None) -> NDArray[Any]:
    if array is None:
        raise DsegError("the prediction lacks what was asked for")
    return array
