"""``dseg extract``: the network's pass over a folder of images, into a feature store."""

import time
from collections.abc import Collection, Container, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...extract.feature_spec import feature_spec
from ...extract.images.files import ImageFiles, find_images
from ...extract.images.reading_spec import ReadingSpec
from ...extract.protocol import Backbone
from ...store.claims import Claim
from ...store.drawn import Drawn
from ...store.errors import DsegError, InputError
from ...store.failed_writes import keeping, writing
from ...store.format.layout import initial_attributes, open_group
from ...store.geometry import plan_tiles
from ...store.names import composed, stem_of
from ...store.read.reader import FeatureStore
from ...store.shared_work import SharedWork
from ...store.spec import FeatureSpec
from ...store.urls.location import Location, bytes_under
from ...store.write.dense import dense_bytes
from ...store.write.writer import FeatureWriter, PlannedImage, plan_store
from ..cluster.client import cluster
from ..cluster.parts import absolute, cut, part_size
from ..cluster.window import TOOK_DOWN, over_cluster
from ..console.disk_space import free_bytes, refuse_too_large
from ..console.progress import Progress
from ..features.inference import tile_batch_size
from ..features.sources import reading_of
from ..inputs.image_list import read_list, select, shard_of
from ..inputs.image_survey import (
    ImageSurvey,
    report_skipped_files,
    survey_images,
    warn_if_dark,
)
from ..inputs.reading_choice import decide_reading
from ..training.memory import peak_resident, return_freed_memory
from .announcements import describe_features, warn_of_label_folders
from .config import Estimate, ExtractConfig, ExtractSummary
from .drawn_images import drawn_images
from .dry_run import probe_of
from .feature_choice import features_of
from .mending import to_mend
from .part import ExtractPart, Outcome, PartImage, Passes, extract_part
from .seen_files import SeenFiles
from .target import claim_key, claimed_target

__all__ = ["extract"]

_LABEL_FOLDERS = {"annotations", "labels", "masks", "overlays"}


def extract(config: ExtractConfig, progress: Progress | None = None) -> ExtractSummary | Estimate:
    """Extract the activations of a folder of images.

    Images that cannot be read are recorded in the summary, and the run goes on.

    Raises
    ------
    DsegError
        If there are no images, the checkpoint cannot be used, the store has other features, or the
        disk is too small.
    """
    started, progress = time.monotonic(), progress or Progress()
    return_freed_memory()
    _refuse_contradictions(config)
    with progress.step("list images"):
        files = find_images([config.images])
    report_skipped_files(files, progress)
    found = _find(config, files)
    mine = set(shard_of(list(found), config.shard))
    with progress.step("load the network"):
        backbone, spec = features_of(config)
    describe_features(backbone, spec, progress)
    warn_of_label_folders(found, progress)
    existing = _existing(config)
    fixed = _fixed_reading(config, spec, existing, backbone)
    seen = _look(config, found)
    known = seen.unchanged(existing) if seen and existing else {}
    survey = survey_images(found, progress, config.reading.over(fixed or ReadingSpec()), known)
    planned, unreadable = _planned(survey, _drawn(config, found, known, existing, progress))
    survey.warn_about_pages(progress)
    reading = _decided(config, fixed, survey, progress)
    spec = feature_spec(backbone, spec.fit, spec.overlap, reading)
    asked = {name: image for name, image in planned.items() if name in mine}
    stems = {image.stem for image in asked.values()}
    again = to_mend(existing, stems, progress, verify=config.verify) if existing else set()
    todo = _todo(existing, asked, again)
    if isinstance(config.out, Path):
        smaller = "fewer --blocks or --steps"
        refuse_too_large(_n_bytes(config, spec, _rows(spec, todo)), config.out, smaller)
    batch = tile_batch_size(config.batch_size, backbone)
    if config.dry_run:
        loading = time.monotonic() - started
        return _estimate(config, spec, backbone, found, todo, existing, batch, loading)
    summary = ExtractSummary(str(config.out), len(mine))
    summary.failed = {name: why for name, why in unreadable.items() if name in mine}
    key = claim_key(config, spec)
    with (
        cluster(config.cluster, progress) as client,
        keeping("What is extracted"),
        writing(config.out),
        claimed_target(config, spec, key, progress) as (target, claim),
    ):
        plan = plan_store(
            target, spec, list(planned.values()), codec=config.codec, say=progress.say
        )
        if plan.codec != config.codec:
            progress.say(f"'{target}' exists already and keeps its codec, '{plan.codec}'")
        _drop_unreadable(target, summary.failed, plan.vanished)
        if not (config.list_file or config.only or config.shard):
            names = {composed(name) for name in found}
            summary.vanished = tuple(name for name in plan.vanished if composed(name) not in names)
        if existing is None:  # what a killed run has left beside the store
            again = to_mend(FeatureStore.open(target), stems, progress, verify=config.verify)
        summary.damaged = len(again)
        writer = FeatureWriter(target)
        for number in again:
            writer.mark_incomplete(number)
        as_before = {plan.indices[name] for name in asked if name in known} - again
        images = [
            PartImage(plan.indices[name], image.name, found[name].absolute(), image.size)
            for name, image in asked.items()
            if plan.indices[name] not in as_before
        ]
        lacking: Set[int] = frozenset()
        if client is None:
            outcome = _here(
                Passes(writer, backbone, batch, reading.most_pixels), claim, images, progress
            )
        else:
            del backbone  # the workers have their own
            there = FeatureStore.open(target).images
            lacking = {image.index for image in there if not image.complete}
            outcome = _over_cluster(client, config, writer, key, images, progress)
        outcome.unchanged += as_before
        _add(outcome, lacking, summary)
        if seen is not None:
            of = {"deep": survey.deep, "paged": survey.paged, "unscaled": survey.unscaled}
            facts = {fact: _names_of(found, paths) for fact, paths in of.items()}
            seen.remember(FeatureStore.open(target), facts)
    if summary.extracted:  # else it is as before, and to look at millions of files takes minutes
        summary.n_bytes = bytes_under(config.out)
    summary.seconds = time.monotonic() - started
    return summary


def _refuse_contradictions(config: ExtractConfig) -> None:
    if config.shard and (config.overwrite or config.layout == "dense"):
        raise InputError(
            "--shard adds a part to a native store, so it cannot be combined with "
            "--overwrite or --layout dense: each part would replace what the others wrote"
        )
    if config.verify and (config.overwrite or config.layout == "dense"):
        raise InputError(
            "--verify checks an existing store, so it cannot be combined with --overwrite or "
            "--layout dense, which make a new one"
        )


def _look(config: ExtractConfig, found: Mapping[str, Location]) -> SeenFiles | None:
    """Look at the images' files; None where every one is to be read."""
    new = config.verify or config.overwrite or config.layout == "dense"
    if new or not isinstance(config.out, Path) or not isinstance(config.images, Path):
        return None
    return SeenFiles.look(config.out, config.images, found)


def _drawn(
    config: ExtractConfig,
    found: Mapping[str, Location],
    known: Container[str],
    existing: FeatureStore | None,
    progress: Progress,
) -> dict[str, Drawn]:
    """Return where synthetic images are from: as the store says of what is unchanged."""
    stored = existing.images if existing else ()
    there = {image.name: image.drawn for image in stored if image.drawn and image.name in known}
    return drawn_images(config.images, found, progress, there)


def _names_of(found: Mapping[str, Location], paths: Iterable[Location]) -> frozenset[str]:
    chosen = set(paths)
    return frozenset(name for name, path in found.items() if path in chosen)


def _find(config: ExtractConfig, files: ImageFiles) -> dict[str, Location]:
    """Return the images to extract, by name within the folder."""
    if config.only is not None:
        return {
            name: files.files[name] for stem, name in files.by_stem.items() if stem in config.only
        }
    if config.list_file is None:
        return files.files
    stems = files.by_stem
    chosen = select(list(stems), read_list(config.list_file), f"images in {files.where}")
    return {stems[stem]: files.files[stems[stem]] for stem in chosen}


def _fixed_reading(
    config: ExtractConfig,
    spec: FeatureSpec,
    existing: FeatureStore | None,
    backbone: Backbone,
) -> ReadingSpec | None:
    """Return how the images were read of features that there are: the model's, or a store's."""
    if config.layers_from is not None:
        return reading_of(spec)
    if existing is not None:
        return reading_of(existing.spec)
    # as the network's own images were, unless something else is asked for
    return backbone.reading if config.reading.is_open and config.white is None else None


def _decided(
    config: ExtractConfig, fixed: ReadingSpec | None, survey: ImageSurvey, progress: Progress
) -> ReadingSpec:
    """Return how the images are read: as given, as the store or model says, or as found."""
    reading = decide_reading(config.reading, config.white, fixed, survey, progress)
    if fixed is not None and config.white is None:
        what = "the model" if config.layers_from is not None else f"'{config.out}'"
        advice = "extract them into a separate store with --white {0}, and fit a model on it"
        warn_if_dark(survey, reading, what, advice, progress)
    return reading


def _planned(
    survey: ImageSurvey, drawn: Mapping[str, Drawn]
) -> tuple[dict[str, PlannedImage], dict[str, str]]:
    """Return the images with their sizes, and the reasons of those that have none."""
    planned, unreadable = {}, dict(survey.refused)
    for name, size in survey.sizes.items():
        try:
            name.encode()
            planned[name] = PlannedImage(name, size, drawn.get(name))
        except UnicodeEncodeError:
            unreadable[name] = (
                "its name is not valid UTF-8, which a store requires: rename the file"
            )
    if not planned:
        raise DsegError(
            f"none of the {len(unreadable)} images can be read. The first error: "
            f"{next(iter(unreadable.values()))}"
        )
    return planned, unreadable


def _drop_unreadable(target: Location, failed: Mapping[str, str], vanished: Iterable[str]) -> None:
    """Mark images of the store that cannot be read any more: its features are of an older file."""
    reasons = {stem_of(name): reason for name, reason in failed.items()}
    names = [name for name in vanished if stem_of(name) in reasons]
    if names:
        numbers = {image.name: image.index for image in FeatureStore.open(target).images}
        writer = FeatureWriter(target)
        for name in names:
            writer.fail_image(numbers[name], reasons[stem_of(name)])


def _rows(spec: FeatureSpec, planned: Mapping[str, PlannedImage]) -> int:
    return sum(
        len(plan_tiles(image.size, spec.row_shape, spec.fit, spec.overlap).offsets)
        for image in planned.values()
    )


def _n_bytes(config: ExtractConfig, spec: FeatureSpec, rows: int) -> int:
    """Return the size before compression; a dense export is made from a native store."""
    dense = dense_bytes(spec, rows) if config.layout == "dense" else 0
    return spec.bytes_per_row * rows + dense


def _existing(config: ExtractConfig) -> FeatureStore | None:
    """Return the store that a run would continue, if there is one.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    if config.overwrite or config.layout == "dense" or not (config.out / "zarr.json").is_file():
        return None
    if open_group(config.out).attrs.asdict() == initial_attributes():
        return None
    with suppress(InputError):  # a dense export, of which planning says more
        return FeatureStore.open(config.out)
    return None


def _todo(
    existing: FeatureStore | None, planned: Mapping[str, PlannedImage], again: Collection[int]
) -> dict[str, PlannedImage]:
    """Return the images that a store lacks or has in part; changed ones replace their old chunks.

    Those to be extracted ``again`` are given by their numbers.
    """
    stored = existing.images if existing else ()
    done = {image.stem for image in stored if image.complete and image.index not in again}
    return {name: image for name, image in planned.items() if image.stem not in done}


def _here(passes: Passes, claim: Claim, images: Sequence[PartImage], progress: Progress) -> Outcome:
    """Do it in this process."""
    outcome, jobs = Outcome(), [one.job(passes.writer.spec) for one in images]
    total, unit = len(images), "images"
    if passes.counts_tiles:
        total, unit = sum(len(job.geometry.offsets) for job in jobs), "tiles"
    with (
        SharedWork.of(claim.take) as shared,
        progress.bar("extract", total, unit) as advance,
    ):
        passes.over(jobs, outcome, advance, shared, progress.say)
    return outcome


def _over_cluster(
    client: Any,
    config: ExtractConfig,
    writer: FeatureWriter,
    key: str,
    images: Sequence[PartImage],
    progress: Progress,
) -> Outcome:
    """Have the workers of a cluster do it, a few images at a time."""
    whole, size = Outcome(), part_size(len(images), len(client.nthreads()))
    run, given, target = uuid4().hex, absolute(config), writer.path.absolute()
    parts = (ExtractPart(run, given, target, key, tuple(some)) for some in cut(images, size))
    with progress.bar("extract", len(images), "images") as advance:
        for part, outcome in over_cluster(client, extract_part, parts, config.cluster, progress):
            if outcome is None:
                for one in part.images:
                    writer.fail_image(one.number, TOOK_DOWN)
                outcome = Outcome(failed={one.name: TOOK_DOWN for one in part.images})
            whole.add(outcome)
            advance(len(part))
    return whole


def _add(outcome: Outcome, lacking: Set[int], summary: ExtractSummary) -> None:
    """Add what became of the images to what is told of the run.

    What a lost worker had finished is there when its part is done again, and yet was extracted by
    this run: the images that the store lacked in the beginning.
    """
    anew = sum(number in lacking for number in outcome.unchanged)
    summary.extracted += outcome.extracted + anew
    summary.unchanged += len(outcome.unchanged) - anew
    summary.failed |= outcome.failed
    summary.clipped |= outcome.clipped


def _estimate(
    config: ExtractConfig,
    spec: FeatureSpec,
    backbone: Backbone,
    found: Mapping[str, Location],
    todo: Mapping[str, PlannedImage],
    existing: FeatureStore | None,
    batch: int,
    loading: float,
) -> Estimate:
    """Extract a few images, write nothing, and scale up."""
    codec, dense = existing.codec if existing else config.codec, config.layout == "dense"
    probe = probe_of(
        found,
        todo,
        backbone,
        spec,
        batch,
        codec,
        dense=dense,
        most_pixels=config.reading.max_pixels,
    )
    rows = _rows(spec, todo)
    return Estimate(
        store=str(config.out),
        images=len(todo),
        rows=rows,
        n_bytes=_n_bytes(config, spec, rows),
        stored_bytes=probe.stored_bytes(len(todo), rows, new=existing is None),
        free_bytes=free_bytes(config.out) if isinstance(config.out, Path) else None,
        peak_memory=peak_resident(),
        seconds=loading + probe.pace.seconds(rows),
    )
