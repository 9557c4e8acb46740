"""``dseg extract``: the network's pass over a folder of images, into a feature store."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...store.claims import Claim
from ...store.errors import InputError
from ...store.failed_writes import keeping, writing
from ...store.geometry import plan_tiles
from ...store.names import composed, stem_of
from ...store.read.reader import FeatureStore
from ...store.shared_work import SharedWork
from ...store.spec import FeatureSpec
from ...store.urls.location import Location, bytes_under
from ...store.write.dense import dense_bytes
from ...store.write.writer import FeatureWriter, Plan, PlannedImage, plan_store
from ..cluster.client import cluster
from ..cluster.parts import absolute, cut, part_size
from ..cluster.window import TOOK_DOWN, over_cluster
from ..console.disk_space import free_bytes, refuse_too_large
from ..console.progress import Progress
from ..training.memory import peak_resident, return_freed_memory
from .config import Estimate, ExtractConfig, ExtractSummary
from .dry_run import probe_of
from .mending import to_mend
from .part import ExtractPart, Outcome, PartImage, Passes, extract_part
from .survey import Surveyed, survey
from .target import claim_key, claimed_target

__all__ = ["extract"]


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
    images = survey(config, progress)
    existing, spec, stems = images.existing, images.spec, images.stems
    again = to_mend(existing, stems, progress, verify=config.verify) if existing else set()
    todo = _todo(existing, images.asked, again)
    if isinstance(config.out, Path):
        smaller = "fewer --blocks or --steps"
        refuse_too_large(_n_bytes(config, spec, _rows(spec, todo)), config.out, smaller)
    if config.dry_run:
        loading = time.monotonic() - started
        return _estimate(config, images, todo, loading)
    summary = _extracted(config, images, again, progress)
    if summary.extracted:  # else it is as before, and to look at millions of files takes minutes
        summary.n_bytes = bytes_under(config.out)
    summary.seconds = time.monotonic() - started
    return summary


def _extracted(
    config: ExtractConfig, images: Surveyed, again: Set[int], progress: Progress
) -> ExtractSummary:
    """Plan the store, have the network's pass done over what it lacks, tell what came of it."""
    summary = ExtractSummary(str(config.out), images.n_asked)
    summary.failed = dict(images.unreadable)
    key = claim_key(config, images.spec)
    with (
        cluster(config.cluster, progress) as client,
        keeping("What is extracted"),
        writing(config.out),
        claimed_target(config, images.spec, key, progress) as (target, claim),
    ):
        plan = _planned(config, images, target, summary, progress)
        if images.existing is None:  # what a killed run has left beside the store
            store = FeatureStore.open(target)
            again = to_mend(store, images.stems, progress, verify=config.verify)
        summary.damaged = len(again)
        writer = FeatureWriter(target)
        for number in again:
            writer.mark_incomplete(number)
        as_before = {plan.indices[name] for name in images.asked if name in images.known} - again
        parts = [
            PartImage(plan.indices[name], image.name, images.found[name].absolute(), image.size)
            for name, image in images.asked.items()
            if plan.indices[name] not in as_before
        ]
        lacking: Set[int] = frozenset()
        if client is None:
            assert images.backbone is not None
            passes = Passes(writer, images.backbone, images.batch, images.reading.most_pixels)
            outcome = _here(passes, claim, parts, progress)
        else:
            there = FeatureStore.open(target).images
            lacking = {image.index for image in there if not image.complete}
            outcome = _over_cluster(client, config, writer, key, parts, progress)
        outcome.unchanged += as_before
        _add(outcome, lacking, summary)
        if parts:  # else all files are as they are remembered
            images.remember(target)
    return summary


def _planned(
    config: ExtractConfig,
    images: Surveyed,
    target: Location,
    summary: ExtractSummary,
    progress: Progress,
) -> Plan:
    """Enter all images in the store; tell which of its own are gone or cannot be read any more."""
    planned = list(images.planned.values())
    plan = plan_store(target, images.spec, planned, codec=config.codec, say=progress.say)
    if plan.codec != config.codec:
        progress.say(f"'{target}' exists already and keeps its codec, '{plan.codec}'")
    _drop_unreadable(target, summary.failed, plan.vanished)
    if not (config.list_file or config.only or config.shard):
        names = {composed(name) for name in images.found}
        summary.vanished = tuple(name for name in plan.vanished if composed(name) not in names)
    return plan


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
    images: Surveyed,
    todo: Mapping[str, PlannedImage],
    loading: float,
) -> Estimate:
    """Extract a few images, write nothing, and scale up."""
    existing, spec = images.existing, images.spec
    assert images.backbone is not None
    codec, dense = existing.codec if existing else config.codec, config.layout == "dense"
    probe = probe_of(
        images.found,
        todo,
        images.backbone,
        spec,
        images.batch,
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
