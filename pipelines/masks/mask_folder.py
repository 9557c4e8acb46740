"""A folder of masks: its files, which of them this model wrote, and how new ones are written."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...classify.ensemble.model_files import MODEL_FOLDER
from ...classify.inference.contrast import overlay_colours
from ...classify.inference.legend import write_legend
from ...classify.inference.mask_files import write_array, write_mask, write_overlay
from ...classify.inference.prediction import Prediction
from ...classify.inference.specks import remove_specks
from ...classify.labels.classes import Classes
from ...distil.student.files import STUDENT_FOLDER
from ...extract.images.files import ImageFiles
from ...extract.images.reading import PLAIN, read_image, sha256_of
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import DsegError, InputError
from ...store.failed_writes import in_the_end, writing
from ...store.urls.location import Location, is_inside
from ...store.urls.walking import within
from ..inputs.image_list import named
from .manifest import FILE, KINDS, SHA256, same_prediction
from .open_manifest import open_manifest
from .placing import Placing
from .recipe import masks_key

__all__ = [
    "MaskOptions",
    "MaskFolder",
    "StagedFiles",
    "refuse_inside_images",
    "refuse_model_or_store",
]

_LEGEND = "legend"
_LOCATIONS = {
    "mask": (".", ".png"),
    "probabilities": ("probabilities", ".npy"),
    "uncertainty": ("uncertainty", ".npy"),
    "overlay": ("overlays", ".png"),
}


@dataclass(frozen=True)
class MaskOptions:
    """What to write for each image.

    Parameters
    ----------
    probabilities, uncertainty, overlay : bool
        Beside the mask.
    paper : bool
        Masks of the tile's size.
    images : mapping of str to path, optional
        The images by stem, to draw overlays over.
    reading : ReadingSpec
        How they are read.
    min_size : int
        Of masks: objects of fewer pixels become part of what is around them.
    """

    probabilities: bool = False
    uncertainty: bool = False
    overlay: bool = False
    paper: bool = False
    images: Mapping[str, Location] | None = None
    reading: ReadingSpec = PLAIN
    min_size: int = 0


def refuse_model_or_store(out: Location) -> None:
    """Refuse to write masks into a model or a store: replacing that would remove them."""
    held = {
        MODEL_FOLDER.json: "a model",
        STUDENT_FOLDER.json: "a student",
        "zarr.json": "a feature store",
    }
    for file, what in held.items():
        if (out / file).is_file():
            raise InputError(
                f"'{out}' contains {what}: give another folder for the masks with --out"
            )


def refuse_inside_images(images: ImageFiles, out: Location) -> None:
    """Refuse to write pictures among the images: the next run would take them for images.

    Or to write over them, where single ones are given.
    """
    target: Location = out.resolve()
    if any(is_inside(target, folder) for folder in images.folders):
        raise InputError(
            f"'{out}' is inside of {images.where}, so the masks would be read as images in "
            "the next run: give another --out"
        )
    single = [] if images.folders else list(images.files.values())
    over = {path.resolve() for path in single} & {target / f"{s}.png" for s in images.by_stem}
    if over:
        raise InputError(
            f"the mask '{out / min(over).name}' would replace the image itself: give another --out"
        )
    among = [path for path in single if path.parent.resolve() == target]
    if among:
        raise InputError(
            f"'{out}' contains the image '{among[0].name}', so masks written there would be "
            "read as images in the next run: give another --out"
        )


@dataclass(frozen=True)
class StagedFiles:
    """The files of an image, written under temporary names.

    Parameters
    ----------
    temporary : mapping of str to (path, path)
        By kind: the temporary file, and its final name.
    record : mapping
        The image's line in the manifest.
    n_bytes : int
        Of all files.
    """

    temporary: Mapping[str, tuple[Path, Location]]
    record: Mapping[str, Any]
    n_bytes: int


class MaskFolder:
    """Writes the files of each image in two steps, `stage` and `commit`.

    Parameters
    ----------
    out : path
        The folder.
    options : MaskOptions
    classes : Classes
        Their names are for the legend of overlays.
    members : int
    model : str
        Identifies the model: its `fingerprint`.
    exclusive : callable
        Context manager that makes other runs of the folder wait: `Claim.exclusive`.
    """

    def __init__(
        self,
        out: Location,
        options: MaskOptions,
        classes: Classes,
        members: int,
        model: str,
        exclusive: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._out, self._options, self._members, self._model = out, options, members, model
        self._classes, self._exclusive = classes, exclusive
        self._kinds = [kind for kind in KINDS if kind == "mask" or getattr(options, kind)]
        self._unfinished: set[Path] = set()
        self._lock = Lock()  # file systems without locks leave `exclusive` without effect
        if options.overlay and options.images is None:
            raise InputError("overlays are drawn on the images: give their folder with --images")
        if options.uncertainty and members < 2:
            raise InputError(
                "--uncertainty measures how far members disagree, but the model has only one member"
            )
        if options.overlay and options.paper:
            raise InputError(
                "--paper writes masks of the network's size, so it cannot be combined with "
                "--overlay"
            )
        self._overlay_colours = overlay_colours(classes.colours)
        self._masks_key = masks_key(model, paper=options.paper, min_size=options.min_size)
        self._check_inside("the manifest", out / FILE)
        with exclusive():
            self._manifest = open_manifest(out)
        self._placing = Placing(out)

    def in_folder(self, out: Location) -> "MaskFolder":
        """Return a writer of the same files for another folder."""
        return MaskFolder(out, self._options, self._classes, self._members, self._model)

    def of_part(
        self,
        images: Mapping[str, Location] | None,
        exclusive: Callable[[], AbstractContextManager[None]],
    ) -> "MaskFolder":
        """Return a writer to this folder for some other images, which knows what is there now.

        Parameters
        ----------
        images : mapping, optional
            Paths by stem, for overlays.
        exclusive : callable
            See the class.
        """
        other = copy(self)
        other._options = replace(self._options, images=images)
        other._exclusive, other._unfinished = exclusive, set()
        with exclusive():
            self._manifest.refresh()
        return other

    def _path(self, kind: str, stem: str) -> Location:
        """Return where the file of a kind is, or would be."""
        folder, suffix = _LOCATIONS[kind]
        return self._out / folder / f"{stem}{suffix}"

    def _files(self, stem: str) -> dict[str, Location]:
        """Return the requested files of an image, by kind."""
        return {kind: self._path(kind, stem) for kind in self._kinds}

    def _check_inside(self, what: str, path: Location) -> None:
        """Refuse to write outside of the folder, through a name or a link in the folder.

        The folder itself may be a link. A link with a file's own name is replaced, not followed.
        """
        if not is_inside(path.resolve(), self._out.resolve()):
            raise InputError(
                f"{what} would be written outside of '{self._out}', to '{path.resolve()}': "
                "does a link in that folder, or the name of an image, lead there? Remove the "
                "link, or give another --out"
            )

    def check_distinct_paths(self, stems: Sequence[str]) -> None:
        """Refuse images whose files would collide with others, or lie outside the folder."""
        files = {stem: self._files(stem) for stem in stems}
        owner = {paths["mask"]: stem for stem, paths in files.items()}
        folders = dict[Location, str]()
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

    def check_replaceable(self, stems: list[str]) -> None:
        """Refuse to replace files that this model has not written."""
        there = [stem for stem in stems if self._is_taken(self._files(stem)["mask"])]
        with self._lock, self._exclusive():  # a mask that another run has written by now has a line
            self._manifest.refresh()
        records = self._manifest.records
        unknown = [stem for stem in there if stem not in records]
        if unknown:
            raise InputError(
                f"'{self._out}' contains files that `dseg predict` did not write, such as "
                f"{named(f'{s}.png' for s in unknown)}: give another --out, or use "
                "--overwrite"
            )
        others = [s for s in stems if s in records and records[s].get("recipe") != self._masks_key]
        if others:
            raise InputError(
                f"'{self._out}' contains masks of {named(others)} by another model: give "
                "another --out, or use --overwrite"
            )

    def count_others(self, stems: list[str]) -> int:
        """Return how many images that are not in ``stems`` have a record."""
        return len(self._manifest.records.keys() - set(stems))

    def is_done_by_now(self, stem: str, sha256: bytes) -> bool:
        """Whether `is_done`, with what other runs have written since."""
        with self._lock, self._exclusive():
            self._manifest.refresh()
            return self.is_done(stem, sha256)

    def is_done(self, stem: str, sha256: bytes) -> bool:
        """Whether all files exist, made by this model from this very image file."""
        record = self._manifest.records.get(stem, {})
        return self.is_recorded(stem) and record.get("sha256") == sha256.hex()

    def is_recorded(self, stem: str) -> bool:
        """Whether all files exist, made by this model from any version of the image."""
        record = self._manifest.records.get(stem, {})
        return record.get("recipe") == self._masks_key and all(
            self._placing.has(path) for path in self._files(stem).values()
        )

    @contextmanager
    def writing(self, stems: Sequence[str]) -> Iterator[None]:
        """Write the legend; in the end remove unfinished files and compact the manifest.

        Parameters
        ----------
        stems : sequence of str
            All images, in the order that their lines are to have.
        """
        if self._options.overlay:
            path = self._legend(stems)
            self._check_inside("the legend of the overlays", path.parent)
            self._write_legend(path)
        with in_the_end(partial(self._compact, stems)), self.without_leftovers():
            yield

    def _compact(self, stems: Sequence[str]) -> None:
        with self._exclusive():
            self._manifest.compact(stems)

    @contextmanager
    def without_leftovers(self) -> Iterator[None]:
        """In the end remove unfinished files."""
        try:
            yield
        finally:
            for temporary_file in list(self._unfinished):
                with suppress(OSError):
                    temporary_file.unlink(missing_ok=True)

    def _is_taken(self, path: Location) -> bool:
        """Whether a file has this name, or anything else."""
        return path.exists() if isinstance(path, Path) else self._placing.has(path)

    def _write_legend(self, path: Location) -> None:
        part = path if isinstance(path, Path) else self._placing.temporary(path)
        write_legend(part, self._classes.names, self._overlay_colours)
        if part != path:
            self._placing.place(part, path)

    def _legend(self, stems: Collection[str]) -> Location:
        """Return the path of the legend of overlays, which must not be that of an image."""
        name, taken = _LEGEND, self._manifest.records.keys() | set(stems)
        while name in taken:
            name += "_"
        return self._path("overlay", name)

    def stage(self, stem: str, name: str, sha256: bytes, prediction: Prediction) -> StagedFiles:
        """Write the files of a prediction under temporary names.

        This is the slow step; several threads may do it for different images at once.
        """
        prediction = replace(
            prediction, mask=remove_specks(prediction.mask, self._options.min_size)
        )
        files = self._files(stem)
        for kind, path in files.items():
            self._check_inside(f"the {kind} of '{stem}'", path.parent)
        temporary = {kind: (self._placing.temporary(path), path) for kind, path in files.items()}
        record = {
            "stem": stem,
            "image": name,
            "sha256": sha256.hex(),
            "recipe": self._masks_key,
            "height": int(prediction.mask.shape[0]),
            "width": int(prediction.mask.shape[1]),
            "image_uncertainty": prediction.score,
            **{kind: within(path, self._out) for kind, path in files.items()},
        }
        self._unfinished.update(temporary_file for temporary_file, _ in temporary.values())
        try:
            for kind, (temporary_file, path) in temporary.items():
                self._write(kind, path, temporary_file, (stem, name, sha256), prediction)
            sha256s = {kind: sha256_of(made).hex() for kind, (made, _) in temporary.items()}
            n_bytes = sum(temporary_file.stat().st_size for temporary_file, _ in temporary.values())
        except BaseException:
            self._discard(temporary)
            raise
        return StagedFiles(temporary, {**record, SHA256: sha256s}, n_bytes)

    def _write(
        self,
        kind: str,
        path: Location,
        temporary_file: Path,
        image: tuple[str, str, bytes],
        prediction: Prediction,
    ) -> None:
        name = path if isinstance(path, Path) else temporary_file  # of a URL: for messages only
        if kind == "mask":
            write_mask(name, prediction.mask, self._classes.colours, under=temporary_file)
        elif kind == "overlay":
            write_overlay(
                name,
                self._pixels(*image),
                prediction.mask,
                self._overlay_colours,
                under=temporary_file,
            )
        else:
            write_array(name, _require_array(getattr(prediction, kind)), under=temporary_file)

    def commit(self, staged: StagedFiles) -> None:
        """Rename the files of an image: extras, then the manifest's line, then the mask.

        Other runs see all of it at once (`Claim.exclusive`). The old mask is removed first: after a
        kill it must not be taken for the new one. Call it for one image after the other, so that
        the lines are in the order of the images.
        """
        extras = dict(staged.temporary)
        temporary_mask, mask = extras.pop("mask")
        with self._lock, self._exclusive():
            self._manifest.refresh()
            try:
                with writing(mask):
                    self._placing.remove(mask)
                    for temporary_file, path in extras.values():
                        self._placing.place(temporary_file, path)
                    self._manifest.add(self._with_other_files(staged.record))
                    self._placing.place(temporary_mask, mask)
            finally:
                self._discard(staged.temporary)

    def _with_other_files(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record with further files of the same prediction, and their sha256."""
        others = self._other_files(record)
        known = self._manifest.records.get(record["stem"], {}).get(SHA256, {})
        kept = {kind: known[kind] for kind in others if kind in known}
        return {**others, **record, SHA256: {**kept, **record[SHA256]}}

    def _other_files(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return further files of the same prediction; remove those of another prediction."""
        stem = record["stem"]
        previous = self._manifest.records.get(stem, {})
        other_kinds = [kind for kind in KINDS if kind in previous and kind not in record]
        if same_prediction(previous, record):
            return {
                kind: previous[kind]
                for kind in other_kinds
                if self._placing.has(self._path(kind, stem))
            }
        for kind in other_kinds:
            path = self._path(kind, stem)
            self._check_inside(f"the {kind} of '{stem}'", path.parent)
            self._placing.remove(path)
        return {}

    def _discard(self, temporary: Mapping[str, tuple[Path, Location]]) -> None:
        for temporary_file, _ in temporary.values():
            with suppress(OSError):
                temporary_file.unlink(missing_ok=True)
            self._unfinished.discard(temporary_file)

    def _pixels(self, stem: str, name: str, sha256: bytes) -> NDArray[np.uint8]:
        assert self._options.images is not None  # `__init__` checked it
        path = self._options.images.get(stem)
        if path is None:
            raise DsegError(f"'{name}' is not among --images, so no overlay can be drawn")
        if sha256_of(path) != sha256:
            raise DsegError(
                f"'{path}' is not the image that the features were extracted from, so no "
                "overlay can be drawn: run extract again, or give the right --images"
            )
        return read_image(path, self._options.reading)


def _require_array(array: NDArray[Any] | None) -> NDArray[Any]:
    if array is None:
        raise DsegError("the prediction lacks what was asked for")
    return array
