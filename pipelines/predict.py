"""``dseg predict``: masks for the images of a feature store or a folder."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classify.ensemble import PixelEnsemble
from ..classify.factorised import FactorisedEnsemble
from ..classify.masks import write_array, write_mask, write_overlay
from ..classify.model_files import FACTS, files_of, from_published, load
from ..classify.prediction import Prediction, predict_image
from ..extract.devices import choose_device
from ..extract.images import read_image, sha256_of
from ..store.errors import DsegError, InputError
from ..store.reader import FeatureStore
from ..store.spec import FeatureSpec
from .manifest import Manifest
from .progress import Progress
from .selection import named, read_list, select, shard_of
from .sources import FromImages, FromStore, Segmentable, Source

__all__ = ["PredictConfig", "PredictSummary", "predict"]

_PROBED = 2


@dataclass(frozen=True)
class PredictConfig:
    """One run of ``dseg predict``.

    Parameters
    ----------
    source : path, optional
        A feature store or a folder of images; by default the store the model was fitted on.
    model : path
        What ``dseg fit`` wrote, or a folder of published ``model_<i>.pth`` (with a store only).
    out : path
        Folder of the masks.
    checkpoint : str, optional
        For images: where the model's diffusion model is now.
    images : path, optional
        For overlays from a store: the images' folder.
    probabilities, uncertainty, overlay : bool
        What to write beside the masks.
    paper : bool
        Vote at the row's size and write that.
    batch_size : int, optional
        Rows through the network at once.
    shard : (i, n), optional
        Take the i-th, from 0, of n parts of the images.
    list_file : path, optional
        Stems of the images to take.
    device : str, optional
    overwrite : bool
        Replace masks of another model, or files that are no masks of ours.
    dry_run : bool
        Only tell what would be done.
    """

    source: Path | None = None
    model: Path = Path("model")
    out: Path = Path("masks")
    checkpoint: str | None = None
    images: Path | None = None
    probabilities: bool = False
    uncertainty: bool = False
    overlay: bool = False
    paper: bool = False
    batch_size: int | None = None
    shard: tuple[int, int] | None = None
    list_file: Path | None = None
    device: str | None = None
    overwrite: bool = False
    dry_run: bool = False


@dataclass
class PredictSummary:
    """What a run did, or with ``dry_run`` would do.

    Parameters
    ----------
    masks : str
        Their folder.
    images : int
        Images asked for.
    predicted, unchanged : int
        Masks written, and masks that were there already.
    failed : dict
        Reason by name of image.
    seconds : float
        Of the run; for a dry run, what it would take.
    """

    masks: str
    images: int = 0
    predicted: int = 0
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def predict(config: PredictConfig, progress: Progress | None = None) -> PredictSummary:
    """Write masks. Images that cannot be used are in the summary, and the run goes on.

    Raises
    ------
    DsegError
        If model and features do not belong together, or files stand in the way.
    """
    started, progress = time.monotonic(), progress or Progress()
    device = choose_device(config.device)
    _refuse_other_uses(config.out)
    model = _load_model(config.model, device)
    source = _source(config, model, device)
    wanted = None if config.list_file is None else read_list(config.list_file)
    stems = shard_of(select(source.stems, wanted, "images"), config.shard)
    writing = _MaskWriting(config, model, source.spec, device)
    writing.check_apart(source.stems)
    writing.check_free(stems)
    summary = PredictSummary(str(config.out), len(stems))
    progress.say(
        f"{len(stems)} images, {len(model.class_info_)} classes, {model.n_members} members on "
        f"{device}; masks to '{config.out}'"
    )
    others = writing.others(stems)
    if others:
        progress.say(f"'{config.out}' has masks of {others} other images already; they stay")
    if config.dry_run:
        _probe(stems, source, writing, summary)
        return summary
    config.out.mkdir(parents=True, exist_ok=True)
    with progress.bar("predict", len(stems), "images") as advance:
        for image in source.images(stems, writing.is_done):
            _one(image, writing, summary)
            advance(1)
    summary.seconds = time.monotonic() - started
    return summary


def _one(image: Segmentable | str, writing: "_MaskWriting", summary: PredictSummary) -> None:
    if isinstance(image, str):
        summary.unchanged += 1
        return
    try:
        writing.write(image, writing.segment(image))
        summary.predicted += 1
    except InputError:
        raise  # the call is wrong, for all images alike
    except DsegError as error:
        summary.failed[image.name] = str(error)


def _load_model(folder: Path, device: Any) -> PixelEnsemble:
    published = not (folder / FACTS).is_file() and any(files_of(folder))
    return from_published(folder, device=device) if published else load(folder, device=device)


def _refuse_other_uses(out: Path) -> None:
    """Refuse to write masks into a model or a store: who replaces that would lose them."""
    for file, what in ((FACTS, "a model"), ("zarr.json", "a feature store")):
        if (out / file).is_file():
            raise InputError(f"'{out}' holds {what}: give the masks a folder of their own, --out")


def _source(config: PredictConfig, model: PixelEnsemble, device: Any) -> Source:
    folder = config.source or _recorded_store(config, model)
    if (folder / "zarr.json").is_file():
        store = FromStore(FeatureStore.open(folder))
        if model.spec_ is not None:
            store.check(model.spec_)
        elif model.n_features_in_ != store.spec.dims:
            raise InputError(
                f"the model takes {model.n_features_in_} channels, '{folder}' has "
                f"{store.spec.dims}: extract with the steps and blocks the model was made with"
            )
        return store
    if model.spec_ is None:
        raise InputError(
            f"'{config.model}' does not say which features it was made with, so images cannot be "
            "brought to it: give a feature store"
        )
    return FromImages(folder, model.spec_, config.checkpoint, device, config.batch_size)


def _recorded_store(config: PredictConfig, model: PixelEnsemble) -> Path:
    recorded = model.extra_.get("store")
    if recorded is None or not (Path(recorded) / "zarr.json").is_file():
        where = "" if recorded is None else f" (it was at '{recorded}')"
        raise InputError(
            f"no store is known for the model '{config.model}'{where}: give a feature store or a "
            "folder of images"
        )
    return Path(recorded)


def _fingerprint(folder: Path) -> str:
    """Return a sha256 over the files of a model, by which masks know it again."""
    digest = hashlib.sha256()
    for path in files_of(folder):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class _MaskWriting:
    """Segments images and writes what was asked for, the manifest's line last."""

    def __init__(
        self, config: PredictConfig, model: PixelEnsemble, spec: FeatureSpec, device: Any
    ) -> None:
        self._config, self._model = config, model
        self._factorised = FactorisedEnsemble(model.stack_, spec, device)
        self._manifest = Manifest(config.out)
        self._recipe = f"{_fingerprint(config.model)}{'-paper' if config.paper else ''}"
        self._from_store = config.source is None or (config.source / "zarr.json").is_file()
        if config.overlay and self._from_store and config.images is None:
            raise InputError("overlays are drawn over the images: say where they are, --images")
        if config.uncertainty and model.n_members < 2:
            raise InputError("--uncertainty is how far members disagree: the model has only one")
        if config.overlay and config.paper:
            raise InputError("--paper writes masks of the network's size, which fit no --overlay")

    def _files(self, stem: str) -> dict[str, Path]:
        """Return the files of an image that are asked for, by kind."""
        out, asked = self._config.out, self._config
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
        if self._config.overwrite:
            return
        records = self._manifest.records
        foreign = [s for s in stems if s not in records and self._files(s)["mask"].exists()]
        if foreign:
            raise InputError(
                f"'{self._config.out}' holds files that `dseg predict` did not write, such as "
                f"{named(f'{s}.png' for s in foreign)}: give another --out, or --overwrite"
            )
        others = [s for s in stems if s in records and records[s].get("recipe") != self._recipe]
        if others:
            raise InputError(
                f"'{self._config.out}' holds masks of {named(others)} by another model: give "
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

    def segment(self, image: Segmentable) -> Prediction:
        """Return the prediction of an image."""
        if image.refused is not None or image.geometry is None:
            raise DsegError(image.refused or "it has no rows")
        return predict_image(
            self._factorised,
            image.geometry,
            image.maps,
            classes=[int(c) for c in self._model.classes_],
            voting=self._model.voting,
            at="row" if self._config.paper else "image",
            want_probabilities=self._config.probabilities,
            want_uncertainty=self._model.n_members > 1,
        )

    def write(self, image: Segmentable, prediction: Prediction) -> None:
        """Write an image's files, each whole or not at all; the mask comes last.

        Before it comes the line of the manifest, see there; an old mask must not pass for it.
        """
        colours = self._model.class_info_.colours
        files = self._files(image.stem)
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        writers: Mapping[str, Callable[[Path], None]] = {
            "mask": lambda path: write_mask(path, prediction.mask, colours),
            "probabilities": lambda path: write_array(path, _there(prediction.probabilities)),
            "uncertainty": lambda path: write_array(path, _there(prediction.uncertainty)),
            "overlay": lambda path: write_overlay(
                path, self._pixels(image), prediction.mask, colours
            ),
        }
        for kind in files.keys() - {"mask"}:
            writers[kind](files[kind])
        files["mask"].unlink(missing_ok=True)
        out = self._config.out
        self._manifest.add(
            {
                "stem": image.stem,
                "image": image.name,
                "sha256": image.sha256.hex(),
                "recipe": self._recipe,
                "height": int(prediction.mask.shape[0]),
                "width": int(prediction.mask.shape[1]),
                "image_uncertainty": prediction.score,
                **{kind: str(path.relative_to(out).as_posix()) for kind, path in files.items()},
            }
        )
        writers["mask"](files["mask"])

    def _pixels(self, image: Segmentable) -> NDArray[np.uint8]:
        folder = self._config.images or self._config.source
        if folder is None:
            raise InputError("overlays are drawn over the images: say where they are, --images")
        path = folder / PurePosixPath(image.name)
        if sha256_of(path) != image.sha256:
            raise DsegError(
                f"'{path}' is not the image that the features are of, so its mask cannot be drawn "
                "over it: run extract again, or give the right --images"
            )
        return read_image(path)


def _there(array: NDArray[Any] | None) -> NDArray[Any]:
    if array is None:
        raise DsegError("the prediction lacks what was asked for")
    return array


def _probe(
    stems: list[str], source: Source, writing: _MaskWriting, summary: PredictSummary
) -> None:
    """Predict two images, write nothing, and scale up."""
    summary.unchanged = sum(writing.is_recorded(stem) for stem in stems)
    stamps = [time.monotonic()]
    for image in source.images(stems[:_PROBED], lambda stem, sha256: False):
        if isinstance(image, Segmentable) and image.refused is None:
            writing.segment(image)
            stamps.append(time.monotonic())
    if len(stamps) > 1:  # the first also warms up: the last counts
        summary.seconds = (stamps[-1] - stamps[-2]) * (len(stems) - summary.unchanged)
