"""``dseg fit``: an ensemble from the labelled images of a feature store."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from ..classify.ensemble import PixelEnsemble
from ..classify.labels import MINIMUM_PIXELS
from ..classify.members import MemberStack, hidden_widths
from ..classify.model_files import check_target, save
from ..classify.model_size import model_bytes
from ..classify.training import Recipe, seconds_per_step
from ..extract.devices import choose_device
from ..store.errors import InputError
from ..store.features import Features
from ..store.reader import FeatureStore
from ..store.residence import ResidencePlan, least_free, plan_residence
from ..store.rounds import group_size
from ..store.sampling import PixelSampler
from ..store.tasks import TaskRunner
from ..store.view import view_of
from .cluster import cluster
from .fit_probe import reading_seconds
from .labelled import Labelled, read_labelled
from .learnt import Learnt, find_reduction
from .memory import Budget, budget_for, default_memory, peak_resident, return_freed_memory
from .progress import Progress
from .selection import duration, named, read_list

__all__ = ["FitConfig", "FitSummary", "fit"]


@dataclass(frozen=True)
class FitConfig:
    """One run of ``dseg fit``.

    Parameters
    ----------
    stores : tuple of path
        The feature store, or several of the same images, whose features are joined.
    labels : path
        Folder of label maps.
    out : path
        Folder of the model to be written.
    layers : tuple of str, optional
        The layers to learn from, by name (see `chosen_layers`); by default all.
    list_file : path, optional
        Stems of the images to learn from.
    ignore : int
        The id of pixels without a class.
    recipe : {"default", "paper"}
    members : int
    voting : {"majority", "mean"}
    max_steps : int
        Length of the default recipe.
    batch_size : int
    balance : float, optional
        How much more the pixels of rare classes count, 0 to 1; by default as the recipe says.
    reduce : int, optional
        Learn from so many channels, the principal components of all; 0: from all. By default as
        `default_dims` says, and from all by the published recipe.
    memory : int, optional
        Bytes that the fit may take above what the imports take; by default half of what is free.
    seed : int
    device : str, optional
    scheduler : str, optional
        Address, or scheduler file, of a Dask cluster that does the reading.
    overwrite : bool
        Replace a model that is there.
    dry_run : bool
        Only tell what would be done.
    """

    stores: tuple[Path, ...]
    labels: Path
    out: Path = Path("model")
    layers: tuple[str, ...] | None = None
    list_file: Path | None = None
    ignore: int = 255
    recipe: Literal["default", "paper"] = "default"
    members: int = 10
    voting: Literal["majority", "mean"] = "majority"
    max_steps: int = 2000
    batch_size: int = 64
    balance: float | None = None
    reduce: int | None = None
    memory: int | None = None
    seed: int = 0
    device: str | None = None
    scheduler: str | None = None
    overwrite: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class FitSummary:
    """What a run did, or with ``dry_run`` would do.

    Parameters
    ----------
    model : str
    images, pixels : int
        Labelled images, and labelled pixels N on the row grid.
    classes : dict
        Pixels of each class, by its name.
    labelled : float
        Which part of those images' pixels has a class.
    residence : str
        What of the features was held in memory, see `store.residence`.
    memory : int
        Bytes allowed.
    steps : int
        Batches a member, at most.
    seconds_a_step : float
        Measured beforehand, without reading.
    training_seconds : float
        Of all steps at that pace; reading comes on top.
    reading_seconds : float
        Of reading and drawing, at the pace of two rows; 0 unless it is a dry run.
    peak_memory : int
        Bytes that the process has resident at most, interpreter and libraries included (the
        ``memory`` allowed is beside them); what lies in a GPU's memory does not count.
    n_bytes : int
        Of the model on disk.
    seconds : float
        Of the whole run; 0 for a dry run.
    """

    model: str
    images: int
    pixels: int
    classes: dict[str, int]
    labelled: float
    residence: str
    memory: int
    steps: int
    seconds_a_step: float
    training_seconds: float
    peak_memory: int
    n_bytes: int
    reading_seconds: float = 0.0
    seconds: float = 0.0


def fit(config: FitConfig, progress: Progress | None = None) -> FitSummary:
    """Train an ensemble on the labelled images of a store and write it.

    Raises
    ------
    DsegError
        If store and labels do not match, there is nothing to learn, the memory is too small, or a
        model is there already.
    """
    started, progress = time.monotonic(), progress or Progress()
    imports = psutil.Process().memory_info().rss
    device = choose_device(config.device)
    return_freed_memory()
    wanted = None if config.list_file is None else read_list(config.list_file)
    store = view_of([FeatureStore.open(path) for path in config.stores], config.layers)
    check_target(config.out, config.overwrite)
    labelled = read_labelled(store, config.labels, wanted, config.ignore, progress)
    memory = default_memory(device) if config.memory is None else config.memory
    learnt = Learnt.of(store.spec, config.reduce, config.recipe)
    with cluster(config.scheduler) as client:
        # A cluster's workers read with their own memory; here, one result at a time arrives.
        readers = 1 if client else TaskRunner().workers
        budget = _budget(config, store, labelled, learnt, memory, readers)
        plan = _residence(config, labelled, learnt, budget)
        peak = imports + budget.taken(plan.n_bytes)
        summary = _summary(config, store, labelled, learnt, plan, memory, peak, device)
        _announce(config, learnt, summary, plan, progress)
        runner = TaskRunner(client, None if client else budget.readers)
        if config.dry_run:
            reading = _reading(store, labelled, learnt, plan, runner, config)
            return replace(summary, reading_seconds=reading)
        ensemble = _train(config, store, labelled, learnt, plan, runner, device, progress)
    origin = _origin(config, store, labelled, learnt)
    save(ensemble, config.out, extra=origin, overwrite=config.overwrite)
    return replace(summary, seconds=time.monotonic() - started)


def _budget(
    config: FitConfig,
    store: Features,
    labelled: Labelled,
    learnt: Learnt,
    memory: int,
    readers: int,
) -> Budget:
    pixels, batch = labelled.pixels, min(config.batch_size, labelled.pixels.n)
    return budget_for(
        memory,
        store.spec,
        n_pixels=pixels.n,
        n_classes=len(labelled.classes),
        members=config.members,
        batch_size=batch,
        recipe=config.recipe,
        readers=readers,
        features=least_free(learnt.spec, pixels.n, len(pixels.rows), batch),
        reduced=None if learnt.kept is None else learnt.spec,
        sample=learnt.sample_bytes,
    )


def _residence(
    config: FitConfig, labelled: Labelled, learnt: Learnt, budget: Budget
) -> ResidencePlan:
    pixels, batch = labelled.pixels, min(config.batch_size, labelled.pixels.n)
    if budget.free < budget.features:
        raise InputError(
            f"--memory {budget.memory / 1e6:.0f}MB is too little: "
            f"{math.ceil(budget.least / 1e6)}MB is the least for {learnt.spec.dims} channels, "
            f"{config.members} members and {len(labelled.classes)} classes"
        )
    return plan_residence(learnt.spec, pixels.n, len(pixels.rows), budget.free, batch)


def _recipe(config: FitConfig) -> Recipe:
    return Recipe.paper() if config.recipe == "paper" else Recipe.default(config.max_steps)


def _summary(
    config: FitConfig,
    store: Features,
    labelled: Labelled,
    learnt: Learnt,
    plan: ResidencePlan,
    memory: int,
    peak: int,
    device: torch.device,
) -> FitSummary:
    n_classes, n = len(labelled.classes), labelled.pixels.n
    widths = hidden_widths(n_classes), n_classes
    stack = MemberStack(config.members, learnt.spec.dims, *widths)
    batch, recipe = min(config.batch_size, n), _recipe(config)
    steps, a_step = recipe.longest(n // batch), seconds_per_step(stack.to(device), batch)
    with torch.device("meta"):  # its shapes are enough
        whole = MemberStack(config.members, store.spec.dims, *widths)
    origin = _origin(config, store, labelled, learnt)
    return FitSummary(
        model=str(config.out),
        images=len(labelled.images),
        pixels=n,
        classes=dict(zip(labelled.classes.names, labelled.counts.tolist(), strict=True)),
        labelled=labelled.share,
        residence=plan.residence,
        memory=memory,
        steps=steps,
        seconds_a_step=a_step,
        training_seconds=steps * a_step,
        peak_memory=max(peak, peak_resident()),
        n_bytes=model_bytes(whole, labelled.classes, store.spec, recipe, steps, origin),
    )


def _reading(
    store: Features,
    labelled: Labelled,
    learnt: Learnt,
    plan: ResidencePlan,
    runner: TaskRunner,
    config: FitConfig,
) -> float:
    batch = min(config.batch_size, labelled.pixels.n)
    return reading_seconds(
        store,
        labelled.pixels,
        learnt,
        plan,
        runner,
        steps=_recipe(config).longest(labelled.pixels.n // batch),
        members=config.members,
        batch_size=batch,
        device=choose_device(config.device),
    )


def _announce(
    config: FitConfig,
    learnt: Learnt,
    summary: FitSummary,
    plan: ResidencePlan,
    progress: Progress,
) -> None:
    progress.say(
        f"{summary.pixels} labelled pixels ({100 * summary.labelled:.0f} %) of {summary.images} "
        f"images, {len(summary.classes)} classes, {learnt}; {_held(plan)}"
    )
    at_once = group_size(summary.images, plan.pool)
    if plan.residence == "rounds" and at_once < summary.images:
        progress.warn(
            f"--memory is so little that a round takes {at_once} of the {summary.images} images "
            "in turn, not a sample of all: the masks may be a little worse"
        )
    absent = [name for name, count in summary.classes.items() if count == 0]
    if absent:
        progress.warn(
            f"no pixel to learn from for {named(absent)} (a class of fewer than "
            f"{MINIMUM_PIXELS} pixels in an image is left out there, as published)"
        )
    seconds = duration(summary.training_seconds)
    most = "at most " if config.recipe == "paper" else ""
    early = "; each member stops when its losses no longer fall" if most else ""
    progress.say(
        f"Recipe '{config.recipe}': {most}{summary.steps} steps of {config.members} members, "
        f"{most}about {seconds} of computing on this machine; reading comes on top{early}"
    )


def _held(plan: ResidencePlan) -> str:
    size = f"{plan.n_bytes / 1e6:.0f} MB"
    return {
        "vectors": f"all feature vectors in memory, {size}",
        "maps32": f"all maps in memory as float32, {size}",
        "maps": f"all maps in memory as float16, {size}",
        "rounds": f"read in rounds of {plan.pool} pixels, {size}",
    }[plan.residence]


def _train(
    config: FitConfig,
    store: Features,
    labelled: Labelled,
    learnt: Learnt,
    plan: ResidencePlan,
    runner: TaskRunner,
    device: torch.device,
    progress: Progress,
) -> PixelEnsemble:
    ensemble = PixelEnsemble(
        n_members=config.members,
        voting=config.voting,
        recipe=config.recipe,
        max_steps=config.max_steps,
        batch_size=config.batch_size,
        balance=config.balance,
        random_state=config.seed,
        device=device,
    )
    reduction = None
    if learnt.kept is not None:
        chunks = len(labelled.pixels.rows) * len(store.spec.map_sizes)
        with progress.bar("reduce", chunks, "chunks") as advance:
            reduction = find_reduction(
                store, labelled.pixels, learnt.kept, config.seed, runner, advance
            )
    sampler = PixelSampler(
        store,
        labelled.pixels,
        plan,
        members=config.members,
        batch_size=config.batch_size,
        seed=config.seed,
        runner=runner,
        device=device,
        reduction=reduction,
    )
    with progress.bar("read", sampler.tasks, "chunks") as advance:
        sampler.load(advance)
    with progress.bar("fit", _recipe(config).longest(sampler.batches_per_epoch), "steps") as step:
        done = 0

        def advance_to(now: int, _: int, losses: NDArray[np.float64]) -> None:
            nonlocal done
            step(now - done)
            done = now

        ensemble.fit_batches(
            sampler,
            labelled.y,
            classes=labelled.classes,
            spec=store.spec,
            reduction=reduction,
            progress=advance_to,
        )
    return ensemble


def _origin(
    config: FitConfig, store: Features, labelled: Labelled, learnt: Learnt
) -> dict[str, Any]:
    """Say where a model came from: what `predict` needs to find store and checkpoint again."""
    return {
        "stores": [str(path.absolute()) for path in config.stores],
        "labels": str(config.labels.absolute()),
        "images": list(labelled.images),
        "ignore_label": config.ignore,
        "seed": config.seed,
        "reduced_to": None if learnt.kept is None else learnt.kept.dims,
    }
