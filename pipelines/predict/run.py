"""``dseg predict``: masks for the images of a feature store or a folder.

Reading and decoding run ahead of the network and the ensemble, in threads; masks are encoded, and
what stands beside them is written, behind them, in threads too. The masks themselves come to disk
in the images' order.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from heapq import nlargest
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.inference.prediction import Prediction
from ...extract.devices import choose_device
from ...extract.images import find_images
from ...extract.levels import FULL, white_in
from ...store.atomic_folder import remove_parts
from ...store.claims import claimed
from ...store.errors import DsegError, InputError
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ...store.read.view import view_for, view_of
from ..console.progress import Progress
from ..features.inference import ahead
from ..features.sources import FromImages, FromStore, Segmentable, Source
from ..inputs.image_list import read_list, select, shard_of
from ..inputs.image_survey import tell_of_files
from ..masks.images_learnt import LEARNT, ImagesLearnt
from ..masks.manifest import Manifest
from ..masks.mask_folder import (
    Asked,
    MaskFiles,
    Prepared,
    fingerprint,
    recipe_of,
    refuse_among,
    refuse_other_uses,
)
from ..masks.segmenter import Segmenter, load_model, recorded_stores, spec_of
from ..training.memory import peak_resident, return_freed_memory
from .config import PredictConfig, PredictSummary

__all__ = ["predict"]

_PROBED = 4
_SHOWN = 3  # images worth labelling
# PNG takes about as long as a GPU needs for the next mask; finished predictions, which may be large
# (probabilities), wait for a writer two at most.
_WRITERS, _HELD = 2, 2

Segment = Callable[[Segmentable], Prediction]
Alone = Callable[[], AbstractContextManager[None]]


def predict(config: PredictConfig, progress: Progress | None = None) -> PredictSummary:
    """Write masks. Images that cannot be used are in the summary, and the run goes on.

    Raises
    ------
    DsegError
        If model and features do not belong together, or files stand in the way.
    """
    started, progress = time.monotonic(), progress or Progress()
    return_freed_memory()
    device = choose_device(config.device)
    refuse_other_uses(config.out)
    model = load_model(config.model, device)
    source = _source(config, model, device, progress)
    wanted = None if config.list_file is None else read_list(config.list_file)
    stems = shard_of(select(source.stems, wanted, "images"), config.shard)
    with _claimed(config, progress) as alone:
        return _predict(config, model, source, stems, alone, device, progress, started)


@contextmanager
def _claimed(config: PredictConfig, progress: Progress) -> Iterator[Alone]:
    """Keep runs that make other masks out of the folder; yield what keeps all out for a moment."""
    if config.dry_run:
        yield nullcontext
        return
    key = recipe_of(_fingerprint(config), paper=config.paper)
    doing = f"dseg predict, model '{config.model}'"
    tidy = partial(remove_parts, config.out)
    with claimed(config.out, key, doing, tidy=tidy, warn=progress.warn) as claim:
        yield claim.alone


def _predict(
    config: PredictConfig,
    model: PixelEnsemble,
    source: Source,
    stems: list[str],
    alone: Alone,
    device: torch.device,
    progress: Progress,
    started: float,
) -> PredictSummary:
    asked, classes = _asked(config, source), model.class_info_
    learnt = ImagesLearnt.of(model.extra_, _sources(config, model))
    files = MaskFiles(config.out, asked, classes, model.n_members, _fingerprint(config), alone)
    files.check_apart(source.stems)
    if not config.overwrite:
        files.check_free(stems)
    summary = PredictSummary(str(config.out), len(stems))
    progress.say(
        f"{len(stems)} images, {len(model.class_info_)} classes, {model.n_members} members on "
        f"{device}; masks to '{config.out}'"
    )
    others = files.others(stems)
    if others:
        progress.say(f"'{config.out}' has masks of {others} other images already; they stay")
    segmenter = Segmenter(model, source.spec, device, at="row" if asked.paper else "image")
    segment = partial(segmenter, want_probabilities=asked.probabilities)
    if config.dry_run:
        _probe(stems, source, segment, files, summary)
        return summary
    with (
        files.writing(source.stems),
        progress.bar("predict", len(stems), "images") as advance,
        closing(_written(stems, source, segment, files, learnt)) as outcomes,
    ):
        for outcome in outcomes:
            outcome.add_to(summary)
            advance(1)
    summary.most_uncertain = _most_uncertain(config.out, stems)
    summary.peak_memory = peak_resident()
    summary.seconds = time.monotonic() - started
    return summary


def _most_uncertain(masks: Path, stems: Sequence[str]) -> tuple[str, ...]:
    """Return a few of the images, the least certain first."""
    records = Manifest(masks).records
    known = [
        (score, stem)
        for stem in stems
        if (record := records.get(stem))
        and isinstance(score := record.get("image_uncertainty"), float)
        and not record.get(LEARNT)
    ]
    return tuple(stem for _, stem in nlargest(_SHOWN, known))


def _asked(config: PredictConfig, source: Source) -> Asked:
    images = source.paths if isinstance(source, FromImages) else None
    if config.overlay and config.images is not None:
        files = find_images([config.images])
        images = {stem: files.files[name] for stem, name in files.by_stem.items()}
    white = source.white if isinstance(source, FromImages) else FULL
    if isinstance(source, FromStore) and config.overlay:
        white = white_in((source.spec.parts or (source.spec,))[0].preprocessing)
    return Asked(
        config.probabilities, config.uncertainty, config.overlay, config.paper, images, white
    )


def _fingerprint(config: PredictConfig) -> str:
    """Return by what masks are known again: model, and white if it is told."""
    model = fingerprint(config.model)
    return model if config.white is None else f"{model}-white{config.white}"


@dataclass(frozen=True)
class _Outcome:
    """What became of an image, and its prediction on the way to disk."""

    name: str
    stem: str
    sha256: bytes = b""
    prediction: Prediction | None = None
    prepared: Prepared | None = None
    reason: str | None = None

    def add_to(self, summary: PredictSummary) -> None:
        if self.reason is not None:
            summary.failed[self.name] = self.reason
        elif self.prepared is not None:
            summary.predicted += 1
            summary.n_bytes += self.prepared.n_bytes
        else:
            summary.unchanged += 1


def _segmented(segment: Segment, image: Segmentable | str) -> _Outcome:
    """Return the prediction of an image, or why there is none."""
    if isinstance(image, str):
        return _Outcome(image, image)
    try:
        prediction = segment(image)
    except InputError:
        raise  # the call is wrong, for all images alike
    except DsegError as error:
        return _Outcome(image.name, image.stem, reason=str(error))
    return _Outcome(image.name, image.stem, image.sha256, prediction)


def _written(
    stems: Sequence[str],
    source: Source,
    segment: Segment,
    files: MaskFiles,
    learnt: ImagesLearnt,
    *,
    redo: bool = False,
) -> Generator[_Outcome]:
    """Segment and write images, and tell what became of each."""
    is_done: Callable[[str, bytes], bool] = (lambda *_: False) if redo else files.is_done
    segmented = map(partial(_segmented, segment), source.images(stems, is_done))
    for found in ahead(partial(_prepare, files, learnt), segmented, _WRITERS, most=_HELD):
        yield _finish(files, found)


def _prepare(files: MaskFiles, learnt: ImagesLearnt, found: _Outcome) -> _Outcome:
    """Write a prediction under temporary names, if there is one, and let go of it."""
    if found.prediction is None:
        return found
    try:
        prepared = files.prepare(found.stem, found.name, found.sha256, found.prediction)
    except InputError:
        raise
    except DsegError as error:
        return replace(found, prediction=None, reason=str(error))
    told = learnt.has(found.stem, found.sha256.hex())
    if told is not None:
        prepared = replace(prepared, record={**prepared.record, LEARNT: told})
    return replace(found, prediction=None, prepared=prepared)


def _finish(files: MaskFiles, found: _Outcome) -> _Outcome:
    """Give an image's files their names."""
    if found.prepared is None:
        return found
    try:
        files.finish(found.prepared)
    except DsegError as error:
        return replace(found, reason=str(error))
    return found


def _source(
    config: PredictConfig, model: PixelEnsemble, device: torch.device, progress: Progress
) -> Source:
    sources = _sources(config, model)
    if all(map(_is_store, sources)):
        if config.white is not None:
            raise InputError(
                "--white says how images are read, but the features of a store are made already: "
                "give it to extract, or give images here"
            )
        return FromStore(_features(sources, model))
    if len(sources) > 1 and any(source.is_dir() for source in sources):
        raise InputError(
            "give one folder of images, images alone, or feature stores alone: "
            + _quoted(sources)
            + " came"
        )
    files = find_images(sources)
    refuse_among(files, config.out)
    tell_of_files(files, progress)
    spec = spec_of(model, config.model)
    return FromImages(
        files, spec, config.checkpoint, device, config.batch_size, config.white, progress
    )


def _sources(config: PredictConfig, model: PixelEnsemble) -> tuple[Path, ...]:
    return config.sources or _recorded_stores(config, model)


def _features(paths: Sequence[Path], model: PixelEnsemble) -> Features:
    """Open stores, and return the features in them that a model takes."""
    stores = [FeatureStore.open(path) for path in paths]
    if model.spec_ is not None:
        return view_for(stores, model.spec_)
    features = view_of(stores)
    if model.n_features_in_ != features.spec.dims:
        raise InputError(
            f"the model takes {model.n_features_in_} channels, {features.where} has "
            f"{features.spec.dims}: extract with the steps and blocks the model was made with"
        )
    return features


def _is_store(path: Path) -> bool:
    return (path / "zarr.json").is_file()


def _quoted(paths: Sequence[Path]) -> str:
    return ", ".join(f"'{path}'" for path in paths)


def _recorded_stores(config: PredictConfig, model: PixelEnsemble) -> tuple[Path, ...]:
    recorded = tuple(map(Path, recorded_stores(model.extra_)))
    if not recorded or not all(map(_is_store, recorded)):
        where = f" (recorded: {_quoted(recorded)})" if recorded else ""
        raise InputError(
            f"no store is known for the model '{config.model}'{where}: give its feature store "
            "(each of them, where there were several) or a folder of images"
        )
    return recorded


def _probe(
    stems: list[str],
    source: Source,
    segment: Segment,
    files: MaskFiles,
    summary: PredictSummary,
) -> None:
    """Predict a few images, spread over all, into a folder that is then removed; scale up."""
    todo = [stem for stem in stems if not files.is_recorded(stem)]
    summary.unchanged = len(stems) - len(todo)
    some = todo[:: max(1, len(todo) // _PROBED)][:_PROBED]
    with TemporaryDirectory() as folder:
        stamps = [time.monotonic()]
        beside, unknown = files.elsewhere(Path(folder)), ImagesLearnt()
        for _ in _written(some, source, segment, beside, unknown, redo=True):
            stamps.append(time.monotonic())
        n_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    summary.peak_memory = peak_resident()
    if some:
        # the first image also warms up; it counts as the others do
        first, rest = stamps[1] - stamps[0], stamps[-1] - stamps[1]
        each = rest / (len(some) - 1) if len(some) > 1 else first
        summary.seconds = first + each * (len(todo) - 1)
        summary.n_bytes = n_bytes * len(todo) // len(some)
