"""``dseg predict``: masks for the images of a feature store or a folder."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from heapq import nlargest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import torch

from ...extract.images.files import find_images
from ...extract.images.reading import PLAIN
from ...extract.images.reading_spec import ReadingSpec
from ...extract.networks.devices import choose_device
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import Claim
from ...store.errors import DsegError, InputError
from ...store.failed_writes import keeping
from ...store.shared_work import SharedWork
from ...store.urls.claims import claimed_place
from ...store.urls.location import Location
from ..cluster.client import ClusterOptions, cluster
from ..cluster.parts import absolute, part_size
from ..cluster.window import TOOK_DOWN, over_cluster
from ..console.progress import Progress
from ..features.sources import ImageFilesSource, Source, StoreSource
from ..inputs.image_list import read_list, select, shard_of
from ..inputs.image_survey import report_skipped_files
from ..masks.ensemble_model import is_store
from ..masks.mask_folder import (
    MaskFolder,
    MaskOptions,
    refuse_inside_images,
    refuse_model_or_store,
)
from ..masks.mask_model import MaskModel
from ..masks.open_manifest import open_manifest
from ..masks.open_model import open_mask_model
from ..masks.recipe import fingerprint, masks_key
from ..masks.training_set import LEARNT_KEY, TrainingSet
from ..training.memory import peak_resident, return_freed_memory
from .config import PredictConfig, PredictSummary
from .part import DOING, PartOutcome, PredictPart, predict_part
from .work import MaskWork

__all__ = ["predict"]

_PROBED_IMAGES = 4
_MOST_UNCERTAIN_SHOWN = 3  # images worth labelling


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
    with (
        cluster(ClusterOptions() if config.dry_run else config.cluster, progress) as client,
        _claimed(config, progress) as claim,
    ):
        return _predict(config, model, source, stems, claim, device, client, progress, started)


@contextmanager
def _claimed(config: PredictConfig, progress: Progress) -> Iterator[Claim]:
    """Keep runs that make other masks out of the folder."""
    if config.dry_run:
        yield Claim(None, f"'{config.out}'")
        return
    key, doing = _key(config), DOING.format(config.model)
    out = config.out
    tidy = partial(remove_temporary_files, out) if isinstance(out, Path) else lambda: None
    with claimed_place(out, key, doing, tidy=tidy, warn=progress.warn) as claim:
        yield claim


def _predict(
    config: PredictConfig,
    model: MaskModel,
    source: Source,
    stems: list[str],
    claim: Claim,
    device: torch.device,
    client: Any,
    progress: Progress,
    started: float,
) -> PredictSummary:
    options, classes = _mask_options(config, source), model.classes
    key = _fingerprint(config)
    files = MaskFolder(config.out, options, classes, model.members, key, claim.exclusive)
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
    work = MaskWork(source, segment, files, TrainingSet.of(model.extra, _sources(config, model)))
    if config.dry_run:
        _probe(work, stems, summary)
        return summary
    with (
        keeping("What is written"),
        files.writing(source.stems),
        progress.bar("predict", len(stems), "images") as advance,
    ):
        if client is None:
            outcome = PartOutcome()
            with (
                SharedWork.of(claim.take) as shared,
                closing(work.shared(shared, stems, progress.say)) as images,
            ):
                for image in images:
                    outcome.add(image)
                    advance(1)
                    _stop_if_asked(config, outcome)
            outcome.add_to(summary, frozenset(stems))
        else:
            before = frozenset(filter(files.is_recorded, stems))
            parts = _parts(config, model, source, stems, options, client)
            del work, segment, segmenter  # the workers have their own
            for part, told in over_cluster(client, predict_part, parts, config.cluster, progress):
                outcome = told or PartOutcome(failed=dict.fromkeys(part.stems, TOOK_DOWN))
                outcome.add_to(summary, before)
                advance(len(part))
                _stop_if_asked(config, outcome)
    summary.most_uncertain = _most_uncertain(config.out, stems)
    summary.peak_memory = peak_resident()
    summary.seconds = time.monotonic() - started
    return summary


def _stop_if_asked(config: PredictConfig, outcome: PartOutcome) -> None:
    """End the run at an image that cannot be used, unless it may be left out."""
    if outcome.failed and config.unreadable == "stop":
        name, reason = next(iter(outcome.failed.items()))
        raise DsegError(
            f"'{name}' cannot be predicted: {reason}. The masks before it are written; to leave "
            "it out, use --unreadable skip"
        )


def _parts(
    config: PredictConfig,
    model: MaskModel,
    source: Source,
    stems: Sequence[str],
    options: MaskOptions,
    client: Any,
) -> Iterator[PredictPart]:
    """Yield what the workers of a cluster are given, a few images at a time."""
    paths: tuple[Location, ...] = ()
    if options.images is not None:
        paths = tuple(options.images[stem].absolute() for stem in stems)
    files: tuple[tuple[str, Location], ...] = ()
    if isinstance(source, ImageFilesSource):
        files = tuple(zip((source.names[stem] for stem in stems), paths, strict=True))
        source.warn_of(stems)
    whole = PredictPart(
        run=uuid4().hex,
        config=absolute(replace(config, sources=_sources(config, model))),
        options=replace(options, images=None),
        fingerprint=_fingerprint(config),
        key=_key(config),
        stems=tuple(stems),
        files=files,
        pictures=() if files else paths,
    )
    size = part_size(len(stems), len(client.nthreads()))
    for start in range(0, len(stems), size):
        yield whole.some(slice(start, start + size))


def _members(model: MaskModel) -> str:
    return "one network" if model.members == 1 else f"{model.members} members"


def _most_uncertain(masks: Location, stems: Sequence[str]) -> tuple[str, ...]:
    """Return a few of the images, the least certain first."""
    records = open_manifest(masks).records
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
    reading = source.reading if isinstance(source, ImageFilesSource) else PLAIN
    if isinstance(source, StoreSource) and config.overlay:
        reading = ReadingSpec.of((source.spec.parts or (source.spec,))[0].preprocessing)
    reading = replace(reading, most_pixels=config.max_pixels)
    return MaskOptions(
        config.probabilities,
        config.uncertainty,
        config.overlay,
        config.paper,
        images,
        reading,
        config.min_size,
    )


def _key(config: PredictConfig) -> str:
    """Return the key of a run's claim: runs that make the same masks share the folder."""
    return masks_key(_fingerprint(config), paper=config.paper, min_size=config.min_size)


def _fingerprint(config: PredictConfig) -> str:
    """Return what identifies masks: the model, and ``--white`` if it is given."""
    model = fingerprint(config.model)
    return model if config.white is None else f"{model}-white{config.white}"


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
    with progress.step("list images"):
        files = find_images(sources)
    refuse_inside_images(files, config.out)
    report_skipped_files(files, progress)
    options = config.image_options
    return model.images(files, options, progress)


def _sources(config: PredictConfig, model: MaskModel) -> tuple[Location, ...]:
    return config.sources or model.default_sources(config.storage)


def _quoted(paths: Sequence[Location]) -> str:
    return ", ".join(f"'{path}'" for path in paths)


def _probe(work: MaskWork, stems: list[str], summary: PredictSummary) -> None:
    """Estimate time and size from a few images, predicted into a temporary folder."""
    remaining = [stem for stem in stems if not work.files.is_recorded(stem)]
    summary.unchanged = len(stems) - len(remaining)
    probed = remaining[:: max(1, len(remaining) // _PROBED_IMAGES)][:_PROBED_IMAGES]
    with TemporaryDirectory() as folder:
        stamps = [time.monotonic()]
        elsewhere = replace(work, files=work.files.in_folder(Path(folder)))
        for _ in elsewhere.over(probed, lambda *_: False):
            stamps.append(time.monotonic())
        n_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    summary.peak_memory = peak_resident()
    if probed:
        # the first image also warms up; it counts as the others do
        first, rest = stamps[1] - stamps[0], stamps[-1] - stamps[1]
        each = rest / (len(probed) - 1) if len(probed) > 1 else first
        summary.seconds = first + each * (len(remaining) - 1)
        summary.n_bytes = n_bytes * len(remaining) // len(probed)
