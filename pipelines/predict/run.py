"""``dseg predict``: masks for the images of a feature store or a folder.

Threads read and decode ahead of the network and the ensemble, and encode and write the files of
finished predictions behind them. Files get their final names in the order of the images.
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

from ...classify.inference.prediction import Prediction
from ...extract.images.files import find_images
from ...extract.images.levels import FULL, white_in
from ...extract.networks.devices import choose_device
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import claimed
from ...store.errors import DsegError, InputError
from ..console.progress import Progress
from ..features.inference import ahead
from ..features.sources import ImageFilesSource, Segmentable, Source, StoreSource
from ..inputs.image_list import read_list, select, shard_of
from ..inputs.image_survey import report_skipped_files
from ..masks.ensemble_model import is_store
from ..masks.manifest import Manifest
from ..masks.mask_folder import (
    MaskFolder,
    MaskOptions,
    StagedFiles,
    fingerprint,
    masks_key,
    refuse_inside_images,
    refuse_model_or_store,
)
from ..masks.mask_model import ImageOptions, MaskModel
from ..masks.open_model import open_mask_model
from ..masks.training_set import LEARNT_KEY, TrainingSet
from ..training.memory import peak_resident, return_freed_memory
from .config import PredictConfig, PredictSummary

__all__ = ["predict"]

_PROBED_IMAGES = 4
_MOST_UNCERTAIN_SHOWN = 3  # images worth labelling
# Encoding a PNG takes about as long as a GPU needs for the next mask. At most two finished
# predictions, which may be large (probabilities), wait for a writer.
_WRITERS, _MAX_WAITING = 2, 2

Segment = Callable[[Segmentable], Prediction]
Exclusive = Callable[[], AbstractContextManager[None]]


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
    refuse_model_or_store(config.out)
    model = open_mask_model(config.model, device)
    source = _source(config, model, progress)
    wanted = None if config.list_file is None else read_list(config.list_file)
    stems = shard_of(select(source.stems, wanted, "images"), config.shard)
    with _claimed(config, progress) as exclusive:
        return _predict(config, model, source, stems, exclusive, device, progress, started)


@contextmanager
def _claimed(config: PredictConfig, progress: Progress) -> Iterator[Exclusive]:
    """Keep runs that make other masks out of the folder; yield `Claim.exclusive`."""
    if config.dry_run:
        yield nullcontext
        return
    key = masks_key(_fingerprint(config), paper=config.paper)
    doing = f"dseg predict, model '{config.model}'"
    tidy = partial(remove_temporary_files, config.out)
    with claimed(config.out, key, doing, tidy=tidy, warn=progress.warn) as claim:
        yield claim.exclusive


def _predict(
    config: PredictConfig,
    model: MaskModel,
    source: Source,
    stems: list[str],
    exclusive: Exclusive,
    device: torch.device,
    progress: Progress,
    started: float,
) -> PredictSummary:
    options, classes = _mask_options(config, source), model.classes
    training_set = TrainingSet.of(model.extra, _sources(config, model))
    files = MaskFolder(config.out, options, classes, model.members, _fingerprint(config), exclusive)
    files.check_distinct_paths(source.stems)
    if not config.overwrite:
        files.check_replaceable(stems)
    summary = PredictSummary(str(config.out), len(stems))
    progress.say(
        f"{len(stems)} images, {len(model.classes)} classes, {_members(model)} on {device}; "
        f"masks to '{config.out}'"
    )
    other_images = files.count_others(stems)
    if other_images:
        progress.say(f"'{config.out}' contains masks of {other_images} other images; they are kept")
    segmenter = model.segmenter(source, at="row" if options.paper else "image")
    segment = partial(segmenter, want_probabilities=options.probabilities)
    if config.dry_run:
        _probe(stems, source, segment, files, summary)
        return summary
    with (
        files.writing(source.stems),
        progress.bar("predict", len(stems), "images") as advance,
        closing(_write_masks(stems, source, segment, files, training_set)) as outcomes,
    ):
        for outcome in outcomes:
            outcome.add_to(summary)
            advance(1)
    summary.most_uncertain = _most_uncertain(config.out, stems)
    summary.peak_memory = peak_resident()
    summary.seconds = time.monotonic() - started
    return summary


def _members(model: MaskModel) -> str:
    return "one network" if model.members == 1 else f"{model.members} members"


def _most_uncertain(masks: Path, stems: Sequence[str]) -> tuple[str, ...]:
    """Return a few of the images, the least certain first."""
    records = Manifest(masks).records
    known = [
        (score, stem)
        for stem in stems
        if (record := records.get(stem))
        and isinstance(score := record.get("image_uncertainty"), float)
        and not record.get(LEARNT_KEY)
    ]
    return tuple(stem for _, stem in nlargest(_MOST_UNCERTAIN_SHOWN, known))


def _mask_options(config: PredictConfig, source: Source) -> MaskOptions:
    images = source.paths if isinstance(source, ImageFilesSource) else None
    if config.overlay and config.images is not None:
        files = find_images([config.images])
        images = {stem: files.files[name] for stem, name in files.by_stem.items()}
    white = source.white if isinstance(source, ImageFilesSource) else FULL
    if isinstance(source, StoreSource) and config.overlay:
        white = white_in((source.spec.parts or (source.spec,))[0].preprocessing)
    return MaskOptions(
        config.probabilities, config.uncertainty, config.overlay, config.paper, images, white
    )


def _fingerprint(config: PredictConfig) -> str:
    """Return what identifies masks: the model, and ``--white`` if it is given."""
    model = fingerprint(config.model)
    return model if config.white is None else f"{model}-white{config.white}"


@dataclass(frozen=True)
class _Outcome:
    """The outcome of an image, and its prediction until that is written."""

    name: str
    stem: str
    sha256: bytes = b""
    prediction: Prediction | None = None
    staged: StagedFiles | None = None
    reason: str | None = None

    def add_to(self, summary: PredictSummary) -> None:
        if self.reason is not None:
            summary.failed[self.name] = self.reason
        elif self.staged is not None:
            summary.predicted += 1
            summary.n_bytes += self.staged.n_bytes
        else:
            summary.unchanged += 1


def _segment(segment: Segment, image: Segmentable | str) -> _Outcome:
    """Return the prediction of an image, or why there is none."""
    if isinstance(image, str):
        return _Outcome(image, image)
    try:
        prediction = segment(image)
    except InputError:
        raise  # a wrong call, which would fail for every image
    except DsegError as error:
        return _Outcome(image.name, image.stem, reason=str(error))
    return _Outcome(image.name, image.stem, image.sha256, prediction)


def _write_masks(
    stems: Sequence[str],
    source: Source,
    segment: Segment,
    files: MaskFolder,
    training_set: TrainingSet,
    *,
    redo: bool = False,
) -> Generator[_Outcome]:
    """Segment and write images; yield the outcome of each."""
    is_done: Callable[[str, bytes], bool] = (lambda *_: False) if redo else files.is_done
    segmented = map(partial(_segment, segment), source.images(stems, is_done))
    for outcome in ahead(
        partial(_stage, files, training_set), segmented, _WRITERS, limit=_MAX_WAITING
    ):
        yield _commit(files, outcome)


def _stage(files: MaskFolder, training_set: TrainingSet, outcome: _Outcome) -> _Outcome:
    """Write a prediction, if there is one, under temporary names, and drop it from memory."""
    if outcome.prediction is None:
        return outcome
    try:
        staged = files.stage(outcome.stem, outcome.name, outcome.sha256, outcome.prediction)
    except InputError:
        raise
    except DsegError as error:
        return replace(outcome, prediction=None, reason=str(error))
    learnt_from = training_set.has(outcome.stem, outcome.sha256.hex())
    if learnt_from is not None:
        staged = replace(staged, record={**staged.record, LEARNT_KEY: learnt_from})
    return replace(outcome, prediction=None, staged=staged)


def _commit(files: MaskFolder, outcome: _Outcome) -> _Outcome:
    """Give the files of an image their final names."""
    if outcome.staged is None:
        return outcome
    try:
        files.commit(outcome.staged)
    except DsegError as error:
        return replace(outcome, reason=str(error))
    return outcome


def _source(config: PredictConfig, model: MaskModel, progress: Progress) -> Source:
    sources = _sources(config, model)
    if all(map(is_store, sources)):
        if config.white is not None:
            raise InputError(
                "--white determines how images are read, but the features of a store are "
                "extracted already: give it to extract, or predict images"
            )
        return model.stores(sources)
    if len(sources) > 1 and any(source.is_dir() for source in sources):
        raise InputError(
            "give one folder of images, images alone, or feature stores alone: "
            + _quoted(sources)
            + " came"
        )
    files = find_images(sources)
    refuse_inside_images(files, config.out)
    report_skipped_files(files, progress)
    options = ImageOptions(config.checkpoint, config.backbone, config.batch_size, config.white)
    return model.images(files, options, progress)


def _sources(config: PredictConfig, model: MaskModel) -> tuple[Path, ...]:
    return config.sources or model.default_sources()


def _quoted(paths: Sequence[Path]) -> str:
    return ", ".join(f"'{path}'" for path in paths)


def _probe(
    stems: list[str],
    source: Source,
    segment: Segment,
    files: MaskFolder,
    summary: PredictSummary,
) -> None:
    """Estimate time and size from a few images, predicted into a temporary folder."""
    remaining = [stem for stem in stems if not files.is_recorded(stem)]
    summary.unchanged = len(stems) - len(remaining)
    probed = remaining[:: max(1, len(remaining) // _PROBED_IMAGES)][:_PROBED_IMAGES]
    with TemporaryDirectory() as folder:
        stamps = [time.monotonic()]
        probe_folder, no_training_set = files.in_folder(Path(folder)), TrainingSet()
        for _ in _write_masks(probed, source, segment, probe_folder, no_training_set, redo=True):
            stamps.append(time.monotonic())
        n_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    summary.peak_memory = peak_resident()
    if probed:
        # the first image also warms up; it counts as the others do
        first, rest = stamps[1] - stamps[0], stamps[-1] - stamps[1]
        each = rest / (len(probed) - 1) if len(probed) > 1 else first
        summary.seconds = first + each * (len(remaining) - 1)
        summary.n_bytes = n_bytes * len(remaining) // len(probed)
