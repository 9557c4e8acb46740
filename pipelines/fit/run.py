"""``dseg fit``: an ensemble from the labelled images of a feature store."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from ...classify.ensemble.model_files import check_target, model_files
from ...classify.ensemble.model_size import model_bytes
from ...extract.networks.devices import choose_device
from ...store.atomic_folder import recover_folder
from ...store.claims import claimed
from ...store.errors import InputError
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ...store.read.view import join_features
from ...store.sampling.residence import ResidencePlan
from ...store.sampling.rounds import group_size
from ..cluster.client import cluster
from ..console.optional_packages import require
from ..console.progress import Progress, SubProgress
from ..inputs.image_list import duration, read_list
from ..inputs.labelled_pixels import Labelled, read_labelled
from ..inputs.unreadable import find_unreadable
from ..masks.segmenter import TEMPERATURE
from ..masks.training_set import training_set_facts
from ..training.cross_validation import (
    CrossValidation,
    Folds,
    check_folds,
    cross_validate,
    deal,
    sample_bytes,
    warn_of_folds,
)
from ..training.holdout import LEFT_BEHIND, TrialSetup
from ..training.job import Training
from ..training.memory import peak_resident, return_freed_memory
from ..training.timing import masks_seconds, reading_seconds
from .config import FitConfig, FitSummary
from .folds_out import FoldsOut, check_folds_out
from .self_training import DEFAULT_FOLDS, SelfTraining, choose_photos

__all__ = ["fit"]


def fit(config: FitConfig, progress: Progress | None = None) -> FitSummary:
    """Train an ensemble on the labelled images of a store and write it.

    Raises
    ------
    DsegError
        If store and labels do not match, there is nothing to learn, the memory is too small, or a
        model is there already.
    """
    progress = progress or Progress()
    with _claimed(config, progress):
        return _fit(config, progress)


@contextmanager
def _claimed(config: FitConfig, progress: Progress) -> Iterator[None]:
    """Keep other runs from writing the same model, or the same masks, at the same time."""
    folders = () if config.dry_run else (config.out, config.folds_out)
    with ExitStack() as stack:
        for folder in dict.fromkeys(path for path in folders if path is not None):
            tidy = partial(recover_folder, folder)
            stack.enter_context(
                claimed(folder, None, "dseg fit", in_parent=True, tidy=tidy, warn=progress.warn)
            )
        yield


def _fit(config: FitConfig, progress: Progress) -> FitSummary:
    started, imports = time.monotonic(), psutil.Process().memory_info().rss
    device = choose_device(config.device)
    return_freed_memory()
    wanted = None if config.list_file is None else read_list(config.list_file)
    store = config.features
    check_target(config.out, config.overwrite)
    photos = _photos(config, store)
    as_published = config.recipe == "paper"
    labelled = read_labelled(
        store,
        config.labels,
        wanted,
        config.ignore,
        progress,
        as_published=as_published,
        unreadable=config.unreadable,
    )
    unlabelled = (
        [] if photos is None else choose_photos(photos, labelled, store, config.self_train_images)
    )
    left_out = dict(labelled.left_out)
    if config.unreadable == "skip" and photos is not None:
        left_out |= find_unreadable(photos, unlabelled, progress)
        unlabelled = [stem for stem in unlabelled if stem not in left_out]
    folds = _folds(config, labelled)
    memory = config.bytes_allowed(device)
    with cluster(config.cluster, progress) as client:
        held_bytes = sample_bytes(labelled)
        setting = TrialSetup(store, labelled, config, memory, device, client, held_bytes)
        check_folds(setting, folds)
        left_behind = LEFT_BEHIND if folds else 0
        training = Training.of(store, labelled, config, memory, device, client, left_behind)
        summary = _summary(config, training, imports + training.taken, len(folds), left_out)
        _announce(training, summary, progress)
        _announce_folds(setting, folds, summary, progress, len(unlabelled))
        if config.dry_run:
            return _estimated(summary, training, setting, folds, len(unlabelled))
        second = None if photos is None else SelfTraining(setting, photos, unlabelled)
        kept, results = _cross_validated(config, setting, folds, progress, second)
        ensemble = training.run(progress)
        if second is not None and kept:
            part = SubProgress(progress, "self-training")
            ensemble = second.second(ensemble, labelled, part)
    extra = _origin(config, training) | results
    ensemble.save(config.out, extra=extra, overwrite=config.overwrite)
    n_bytes = sum(path.stat().st_size for path in model_files(config.out))
    return replace(
        summary,
        n_bytes=n_bytes,
        seconds=time.monotonic() - started,
        cross_validation=results.get("cross_validation"),
        self_training=results.get("self_training"),
    )


def _photos(config: FitConfig, store: Features) -> Features | None:
    """Return the features of the images without labels, if there are any to learn from."""
    if not config.self_train:
        return None
    if config.folds_out is not None:
        raise InputError(
            "--folds-out writes the masks of one cross-validation, and --self-train makes two: "
            "leave out one of them"
        )
    photos = join_features([FeatureStore.open(path) for path in config.self_train], config.layers)
    if photos.spec.hash != store.spec.hash:
        differences = "; ".join(photos.spec.differences(store.spec, ("it", store.where)))
        raise InputError(
            f"--self-train {photos.where} holds other features than {store.where}: {differences}. "
            "Extract both with the same options"
        )
    return photos


def _folds(config: FitConfig, labelled: Labelled) -> Folds:
    """Deal the folds, none if none are asked for; refuse what cannot be written."""
    if config.folds is None and config.self_train:
        return deal(labelled, min(DEFAULT_FOLDS, len(labelled.images)), config.seed)
    if config.folds is None:
        if config.folds_out is not None:
            raise InputError(
                "--folds-out is the folder for the masks of --folds: give the number of folds "
                "with --folds"
            )
        return ()
    if config.folds_out is not None:
        require("matplotlib")
        _refuse_nested(config.out, config.folds_out)
        check_folds_out(config.folds_out, config.overwrite, labelled.images)
    return deal(labelled, config.folds, config.seed)


def _refuse_nested(model: Path, masks: Path) -> None:
    """Refuse two folders of which one, once replaced, would take the other with it."""
    first_folder, second_folder = model.resolve(), masks.resolve()
    if first_folder.is_relative_to(second_folder) or second_folder.is_relative_to(first_folder):
        raise InputError(
            f"--out '{model}' and --folds-out '{masks}' must be separate folders: neither "
            "may contain the other"
        )


def _announce_folds(
    setting: TrialSetup,
    folds: Folds,
    summary: FitSummary,
    progress: Progress,
    unlabelled: int,
) -> None:
    if not folds:
        return
    warn_of_folds(setting.labelled, folds, progress)
    times = (len(folds) + 1) * (2 if unlabelled else 1)
    beside = f", and as often those of {unlabelled} images without labels" if unlabelled else ""
    progress.say(
        f"{len(folds)} folds: {times} trainings, about "
        f"{duration(times * summary.training_seconds)} of computing, and masks of "
        f"{summary.images} held-out images{beside}"
    )


def _estimated(
    summary: FitSummary, training: Training, setting: TrialSetup, folds: Folds, unlabelled: int
) -> FitSummary:
    reading = reading_seconds(training)
    summary = replace(summary, reading_seconds=reading)
    if not folds:
        return summary
    # Each fold reads all images but its own; all together, one time less than there are folds.
    seconds = len(folds) * summary.training_seconds + (len(folds) - 1) * reading
    masks = masks_seconds(training, setting.labelled.images)
    seconds += masks
    if unlabelled:  # all of it again, and guesses before each second training
        guesses = masks * unlabelled / len(setting.labelled.images)
        seconds += seconds + summary.training_seconds + reading + (len(folds) + 1) * guesses
    return replace(summary, folds=len(folds), folds_seconds=seconds)


def _cross_validated(
    config: FitConfig,
    setting: TrialSetup,
    folds: Folds,
    progress: Progress,
    second: SelfTraining | None,
) -> tuple[bool, dict[str, Any]]:
    """Return whether to keep the second training, and what a model keeps of cross-validation."""
    if second is not None:
        kept, results, facts = second.compared(folds, progress)
        return kept, _results_to_save(results) | {"self_training": facts}
    return False, _cross_validated_once(config, setting, folds, progress)


def _cross_validated_once(
    config: FitConfig, setting: TrialSetup, folds: Folds, progress: Progress
) -> dict[str, Any]:
    """Return what a model keeps of its cross-validation; nothing if there is none."""
    if not folds:
        return {}
    if config.folds_out is None:
        results = cross_validate(setting, folds, progress)
        return _results_to_save(results)
    masks_key = f"held out, {len(folds)} folds, seed {config.seed}"
    members = config.members
    with FoldsOut.writing(config.folds_out, setting.labelled, members, masks_key) as out:
        results = cross_validate(setting, folds, progress, out)
        out.close(results.to_dict())
        check_folds_out(config.folds_out, config.overwrite, setting.labelled.images)  # by now
    return _results_to_save(results)


def _results_to_save(results: CrossValidation) -> dict[str, Any]:
    return {"cross_validation": results.to_dict(), TEMPERATURE: results.calibration.temperature}


def _summary(
    config: FitConfig, training: Training, peak: int, folds: int, failed: dict[str, str]
) -> FitSummary:
    labelled, spec = training.labelled, training.store.spec
    steps, seconds_a_step = training.steps, training.seconds_a_step()
    with torch.device("meta"):  # its shapes are enough
        whole = training.stack(spec.dims)
    origin = _origin(config, training)
    return FitSummary(
        model=str(config.out),
        images=len(labelled.images),
        pixels=labelled.pixels.n,
        classes=dict(zip(labelled.classes.names, labelled.counts.tolist(), strict=True)),
        labelled=labelled.share,
        residence=training.plan.residence,
        memory=training.budget.memory,
        steps=steps,
        seconds_a_step=seconds_a_step,
        training_seconds=steps * seconds_a_step,
        peak_memory=max(peak, peak_resident()),
        n_bytes=model_bytes(whole, labelled.classes, spec, config.rule, steps, origin),
        folds=folds,
        failed=failed,
    )


def _announce(training: Training, summary: FitSummary, progress: Progress) -> None:
    options, plan = training.options, training.plan
    progress.say(
        f"{summary.pixels} labelled pixels ({100 * summary.labelled:.0f} %) of {summary.images} "
        f"images, {len(summary.classes)} classes, {training.learnt}; {_held(plan)}"
    )
    at_once = group_size(summary.images, plan.pool)
    if plan.residence == "rounds" and at_once < summary.images:
        progress.warn(
            f"with so little --memory, a round of training reads {at_once} of the "
            f"{summary.images} images at a time instead of a sample of all: the masks may be "
            "slightly worse"
        )
    seconds = duration(summary.training_seconds)
    most = "at most " if options.recipe == "paper" else ""
    early = "; each member stops when its loss no longer falls" if most else ""
    progress.say(
        f"Recipe '{options.recipe}': {most}{summary.steps} steps of {options.members} "
        f"members, {most}about {seconds} of computing on this machine, plus reading{early}"
    )


def _held(plan: ResidencePlan) -> str:
    size = f"{plan.n_bytes / 1e6:.0f} MB"
    return {
        "vectors": f"all feature vectors in memory, {size}",
        "maps32": f"all maps in memory as float32, {size}",
        "maps": f"all maps in memory as float16, {size}",
        "rounds": f"read in rounds of {plan.pool} pixels, {size}",
    }[plan.residence]


def _origin(config: FitConfig, training: Training) -> dict[str, Any]:
    """Say where a model came from: what `predict` needs to find store and checkpoint again."""
    kept = training.learnt.kept
    return {
        "stores": [str(path.absolute()) for path in config.stores],
        "labels": str(config.labels.absolute()),
        **training_set_facts(training.store, training.labelled.images),
        "ignore_label": training.labelled.ignore,
        "seed": config.seed,
        "reduced_to": None if kept is None else kept.dims,
    }
