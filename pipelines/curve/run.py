"""``dseg curve``: the mIoU against the number of labelled images, to decide whether to label more.

A cell is one training on the first n images of a draw, scored on the images that the draw holds
out. Each finished cell is on disk before the next begins; a run computes those that are missing.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

from ...extract.networks.devices import choose_device
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import claimed
from ...store.errors import InputError
from ...store.read.protocol import Features
from ..console.optional_packages import require
from ..console.progress import Progress, SubProgress
from ..inputs.image_list import duration, named, read_list, select
from ..inputs.labelled_pixels import Labelled, read_labelled
from ..training.holdout import TrialSetup, trial
from ..training.memory import return_freed_memory
from ..training.options import TrainingOptions
from ..training.timing import masks_seconds, reading_seconds
from .config import CurveConfig, CurveSummary
from .file import CurveFile
from .plan import Draw, chosen_counts, make_draws
from .report import points_of, verdict_of, write_report

__all__ = ["curve"]


def curve(config: CurveConfig, progress: Progress | None = None) -> CurveSummary:
    """Train and score on more and more of the labelled images; write the curve.

    Raises
    ------
    DsegError
        If store and labels do not match, there is too little to learn from, or another curve is
        there already.
    """
    require("matplotlib")
    progress = progress or Progress()
    if config.dry_run:
        return _curve(config, progress)
    tidy = partial(remove_temporary_files, config.out)
    with claimed(config.out, None, "dseg curve", tidy=tidy, warn=progress.warn):
        return _curve(config, progress)


def _curve(config: CurveConfig, progress: Progress) -> CurveSummary:
    started = time.monotonic()
    device = choose_device(config.device)
    return_freed_memory()
    store = config.features
    labelled, test = _labelled(config, store, progress)
    draws = make_draws(labelled, config.draws, config.seed, test)
    counts = chosen_counts(labelled, draws, config.counts)
    file = CurveFile(config.out, _identity(config, store, labelled, test), config.overwrite)
    setting = TrialSetup(store, labelled, config, config.bytes_allowed(device), device)
    cells = [(draw, n) for draw in draws for n in counts]
    todo = [(draw, n) for draw, n in cells if not file.has(draw.number, n)]
    done = len(cells) - len(todo)
    summary = CurveSummary(str(config.out), len(labelled.images), counts, len(cells), done)
    summary = replace(summary, failed=dict(labelled.left_out))
    seconds = _seconds(setting, todo)
    progress.say(
        f"{len(labelled.images)} labelled images, {len(draws)} draws of "
        f"{', '.join(map(str, counts))}: {len(cells)} trainings, {done} of them done; about "
        f"{duration(seconds)} on this machine"
    )
    if config.dry_run:
        return replace(summary, seconds=seconds)
    with progress.bar("curve", len(todo), "trainings") as advance:
        for draw, n in todo:
            part = SubProgress(progress, f"draw {draw.number + 1}, {n} images")
            file.add(_cell(setting, draw, n, part))
            advance(1)
    overlap = 0.0 if test is not None else len(draws[0].held_out) / len(draws[0].order)
    complete = file.cells_of(draws)
    points, verdict = points_of(complete, overlap), verdict_of(complete, overlap)
    write_report(config.out, points, verdict, labelled.scored.names, _how(config, draws, test))
    seconds = time.monotonic() - started
    return replace(summary, points=points, verdict=verdict, seconds=seconds)


def _labelled(
    config: CurveConfig, store: Features, progress: Progress
) -> tuple[Labelled, list[str] | None]:
    """Read the label maps; return them with the stems of the test list."""
    wanted = None if config.list_file is None else read_list(config.list_file)
    read = partial(
        read_labelled,
        progress=progress,
        as_published=config.recipe == "paper",
        unreadable=config.unreadable,
    )
    if config.test_list is None:
        return read(store, config.labels, wanted, config.ignore), None
    every = [image.stem for image in store.images]
    test = select(every, read_list(config.test_list), f"images in {store.where}")
    if wanted is not None:
        train = select(every, wanted, f"images in {store.where}")
        both = [stem for stem in train if stem in set(test)]
        if both:
            raise InputError(
                f"--list and --test-list both contain {named(both)}: images used for "
                "training must not be used for scoring"
            )
        wanted = (*train, *test)
    labelled = read(store, config.labels, wanted, config.ignore)
    bare = [stem for stem in test if stem not in labelled.images]
    if bare:
        raise InputError(
            f"--test-list contains {named(bare)}, which have no label map in '{config.labels}'"
        )
    return labelled, test


def _identity(
    config: CurveConfig, store: Features, labelled: Labelled, test: Sequence[str] | None
) -> dict[str, Any]:
    """Return all that a cell's score depends on, but for its draw and its number of images."""
    images = {image.stem: image.sha256.hex() for image in store.images}
    digest = hashlib.sha256()
    for stem, entry in zip(labelled.images, labelled.label_maps, strict=True):
        digest.update(f"{stem} {images[stem]} ".encode() + entry.digest())
    options = {
        field.name: getattr(config, field.name)
        for field in fields(TrainingOptions)
        if field.name != "memory"
    }
    return {
        "features": store.spec.hash,
        "images_and_labels": digest.hexdigest(),
        "classes": list(labelled.classes.names),
        "ignore": labelled.ignore,
        "test": None if test is None else list(test),
        "options": options,
    }


def _seconds(setting: TrialSetup, todo: Sequence[tuple[Draw, int]]) -> float:
    """Estimate the time of some cells, at the pace of the largest."""
    if not todo:
        return 0.0
    draw, most = max(todo, key=lambda cell: cell[1])
    training = setting.training(draw.order[:most])
    a_step, reading = training.seconds_a_step(), reading_seconds(training)
    masks = masks_seconds(training, draw.held_out)
    reads = sum(n for _, n in todo) / most
    return len(todo) * (training.steps * a_step + masks) + reads * reading


def _cell(setting: TrialSetup, draw: Draw, n: int, progress: Progress) -> dict[str, Any]:
    """Train on the first n images of a draw; return its score as plain values."""
    started = time.monotonic()
    seeded = replace(setting, options=replace(setting.options, seed=draw.seed))
    scores = trial(seeded, draw.order[:n], draw.held_out, progress)
    return {
        "draw": draw.number,
        "images": n,
        "train": list(draw.order[:n]),
        "held_out": list(draw.held_out),
        **scores.confusion.scores(setting.labelled.scored.names),
        "seconds": time.monotonic() - started,
    }


def _how(config: CurveConfig, draws: Sequence[Draw], test: Sequence[str] | None) -> str:
    """Say how the curve came about."""
    held = len(draws[0].held_out)
    where = (
        f"the {held} images of `{config.test_list}`, the same in every draw. The intervals "
        "therefore do not cover the choice of test images, and for all "
        f"{len(draws[0].order)} training images they cover only the difference between seeds"
        if test is not None
        else (
            f"{held} held-out images, different ones in every draw; because the draws share "
            "images, the intervals are widened (Nadeau and Bengio 2003)"
        )
    )
    steps = f" of {config.max_steps} steps" if config.recipe == "default" else ""
    return (
        f"{len(draws)} random draws of the training images; within a draw, each larger "
        f"number adds images to the smaller one; scored on {where}. Recipe "
        f"'{config.recipe}'{steps}, {config.members} members, seed {config.seed}. Intervals: "
        "95 %, Student's t over the draws."
    )
