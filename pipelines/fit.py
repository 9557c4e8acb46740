"""``dseg fit``: an ensemble from the labelled images of a feature store."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..classify.ensemble import PixelEnsemble
from ..classify.labels import MINIMUM_PIXELS
from ..classify.members import MemberStack, hidden_widths
from ..classify.model_files import check_target, save
from ..classify.reduction import Kept, default_dims, reduction_of
from ..classify.training import Recipe, seconds_per_step
from ..extract.devices import choose_device
from ..store.errors import DsegError, InputError
from ..store.reader import FeatureStore
from ..store.reduction import Reduction
from ..store.residence import ResidencePlan, least_free, plan_residence
from ..store.rounds import group_size
from ..store.sampling import PixelSampler, sample_vectors
from ..store.spec import FeatureSpec
from ..store.tasks import TaskRunner
from .labelled import Labelled, read_labelled
from .memory import Budget, budget_for, default_memory, return_freed_memory
from .progress import Progress
from .selection import duration, named, read_list

__all__ = ["FitConfig", "FitSummary", "fit"]


@dataclass(frozen=True)
class FitConfig:
    """One run of ``dseg fit``.

    Parameters
    ----------
    store : path
        The feature store.
    labels : path
        Folder of label maps.
    out : path
        Folder of the model to be written.
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

    store: Path
    labels: Path
    out: Path = Path("model")
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
    device = choose_device(config.device)
    return_freed_memory()
    wanted = None if config.list_file is None else read_list(config.list_file)
    store = FeatureStore.open(config.store)
    check_target(config.out, config.overwrite)
    labelled = read_labelled(store, config.labels, wanted, config.ignore, progress)
    memory = default_memory(device) if config.memory is None else config.memory
    learnt = _Learnt.of(config, store.spec)
    with _cluster(config.scheduler) as client:
        # A cluster's workers read with their own memory; here, one result at a time arrives.
        readers = 1 if client else TaskRunner().workers
        budget = _budget(config, store, labelled, learnt, memory, readers)
        plan = _residence(config, labelled, learnt, budget)
        summary = _summary(config, labelled, learnt, plan, memory, device)
        _announce(config, learnt, summary, plan, progress)
        if config.dry_run:
            return summary
        runner = TaskRunner(client, None if client else budget.readers)
        ensemble = _train(config, store, labelled, learnt, plan, runner, device, progress)
    save(
        ensemble,
        config.out,
        extra=_origin(config, store, labelled, learnt),
        overwrite=config.overwrite,
    )
    return FitSummary(**{**vars(summary), "seconds": time.monotonic() - started})


@dataclass(frozen=True)
class _Learnt:
    """The features that are trained on: those of the store, or fewer channels."""

    stored: FeatureSpec
    spec: FeatureSpec
    kept: Kept | None = None

    @classmethod
    def of(cls, config: FitConfig, stored: FeatureSpec) -> "_Learnt":
        if config.recipe == "paper":
            if config.reduce:
                raise InputError("--reduce is no part of the published recipe: leave one out")
            return cls(stored, stored)
        dims = default_dims(stored.dims) if config.reduce is None else config.reduce
        if dims in (0, stored.dims):
            return cls(stored, stored)
        kept = Kept.of(stored, dims)
        return cls(stored, kept.spec(stored), kept)


@contextmanager
def _cluster(scheduler: str | None) -> Iterator[Any]:
    """Yield a client of the cluster; None without one."""
    if scheduler is None:
        yield None
        return
    from distributed import Client

    address = _address(scheduler)
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise DsegError(
            f"no Dask scheduler answers at '{scheduler}' within 10 s. Give an address such as "
            "tcp://host:8786, or the file that `dask scheduler --scheduler-file` writes"
        ) from error
    with client:
        if not client.nthreads():
            raise DsegError(f"the Dask scheduler at '{scheduler}' has no workers: start some")
        yield client


def _address(scheduler: str) -> str:
    """Return a scheduler's address, if need be from its file."""
    if not Path(scheduler).is_file():
        return scheduler
    try:
        return str(json.loads(Path(scheduler).read_text())["address"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{scheduler}' is no scheduler file: give the file that `dask scheduler "
            "--scheduler-file` writes, or an address such as tcp://host:8786"
        ) from error


def _budget(
    config: FitConfig,
    store: FeatureStore,
    labelled: Labelled,
    learnt: _Learnt,
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
        sample=0 if learnt.kept is None else learnt.kept.sample_bytes(store.spec),
    )


def _residence(
    config: FitConfig, labelled: Labelled, learnt: _Learnt, budget: Budget
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
    labelled: Labelled,
    learnt: _Learnt,
    plan: ResidencePlan,
    memory: int,
    device: torch.device,
) -> FitSummary:
    n_classes, n = len(labelled.classes), labelled.pixels.n
    stack = MemberStack(config.members, learnt.spec.dims, hidden_widths(n_classes), n_classes)
    batch = min(config.batch_size, n)
    return FitSummary(
        model=str(config.out),
        images=len(labelled.images),
        pixels=n,
        classes=dict(zip(labelled.classes.names, labelled.counts.tolist(), strict=True)),
        labelled=labelled.share,
        residence=plan.residence,
        memory=memory,
        steps=_recipe(config).longest(n // batch),
        seconds_a_step=seconds_per_step(stack.to(device), batch),
    )


def _announce(
    config: FitConfig,
    learnt: _Learnt,
    summary: FitSummary,
    plan: ResidencePlan,
    progress: Progress,
) -> None:
    progress.say(
        f"{summary.pixels} labelled pixels ({100 * summary.labelled:.0f} %) of {summary.images} "
        f"images, {len(summary.classes)} classes, {_channels(learnt)}; {_held(plan)}"
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
    seconds = duration(summary.steps * summary.seconds_a_step)
    most = "at most " if config.recipe == "paper" else ""
    early = "; each member stops when its losses no longer fall" if most else ""
    progress.say(
        f"Recipe '{config.recipe}': {most}{summary.steps} steps of {config.members} members, "
        f"{most}about {seconds} of computing on this machine; reading comes on top{early}"
    )


def _channels(learnt: _Learnt) -> str:
    if learnt.kept is None:
        return f"{learnt.spec.dims} channels"
    return f"{learnt.stored.dims} channels reduced to {learnt.spec.dims}"


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
    store: FeatureStore,
    labelled: Labelled,
    learnt: _Learnt,
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
        reduction = _reduction(config, store, labelled, learnt.kept, runner, progress)
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


def _reduction(
    config: FitConfig,
    store: FeatureStore,
    labelled: Labelled,
    kept: Kept,
    runner: TaskRunner,
    progress: Progress,
) -> Reduction:
    """Find the principal components by a sample of the labelled pixels."""
    pixels = labelled.pixels
    with progress.bar("reduce", len(pixels.rows) * len(store.spec.map_sizes), "chunks") as advance:
        sample = sample_vectors(store, pixels, kept.pixels, config.seed, runner, advance)
    return reduction_of(sample, store.spec, kept)


def _origin(
    config: FitConfig, store: FeatureStore, labelled: Labelled, learnt: _Learnt
) -> dict[str, Any]:
    """Say where a model came from: what `predict` needs to find store and checkpoint again."""
    return {
        "store": str(config.store.absolute()),
        "labels": str(config.labels.absolute()),
        "images": list(labelled.images),
        "ignore_label": config.ignore,
        "seed": config.seed,
        "reduced_to": None if learnt.kept is None else learnt.kept.dims,
    }
