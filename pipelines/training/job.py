"""One training on labelled images of a store: planned to fit into a given memory, then run.

What `fit` does once, and whoever tries something out (`trial`) many times.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from numpy.typing import NDArray

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.ensemble.members import MemberStack, hidden_widths
from ...classify.ensemble.training import Recipe, seconds_per_step
from ...store.errors import InputError
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ...store.read.view import join_features
from ...store.sampling.dask_tasks import TaskRunner
from ...store.sampling.reduction import Reduction
from ...store.sampling.residence import ResidencePlan, minimum_memory, plan_residence
from ...store.sampling.sampler import PixelSampler
from ..console.progress import Progress
from ..inputs.labelled_pixels import Labelled
from .feature_reduction import Learnt, find_reduction
from .memory_budget import Budget, budget_for, default_memory
from .timing import masks_seconds, reading_seconds

__all__ = ["StoreTraining", "Training", "TrainingOptions"]


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train, whatever on.

    Parameters
    ----------
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
        Bytes to take above what the imports take; by default half of what is free.
    seed : int
    """

    recipe: Literal["default", "paper"] = "default"
    members: int = 10
    voting: Literal["majority", "mean"] = "majority"
    max_steps: int = 2000
    batch_size: int = 64
    balance: float | None = None
    reduce: int | None = None
    memory: int | None = None
    seed: int = 0

    @property
    def rule(self) -> Recipe:
        """The recipe."""
        return Recipe.paper() if self.recipe == "paper" else Recipe.default(self.max_steps)

    def bytes_allowed(self, device: torch.device) -> int:
        """Return the memory to take: as asked, else half of what is free now."""
        return default_memory(device) if self.memory is None else self.memory


@dataclass(frozen=True)
class StoreTraining(TrainingOptions):
    """Training on the labelled images of feature stores, as a command is asked for it.

    Parameters
    ----------
    stores : tuple of path
        The feature store, or several of the same images, whose features are joined.
    labels : path
        Folder of label maps.
    layers : tuple of str, optional
        The layers to learn from, by name (see `select_layers`); by default all.
    list_file : path, optional
        Stems of the images to take.
    ignore : int
        The id of pixels without a class.
    device : str, optional
    overwrite : bool
        Replace what an earlier run has written.
    dry_run : bool
        Only tell what would be done.
    """

    stores: tuple[Path, ...]
    labels: Path
    _: KW_ONLY
    layers: tuple[str, ...] | None = None
    list_file: Path | None = None
    ignore: int = 255
    device: str | None = None
    overwrite: bool = False
    dry_run: bool = False

    @property
    def features(self) -> Features:
        """The features to learn from, opened."""
        return join_features([FeatureStore.open(path) for path in self.stores], self.layers)


@dataclass(frozen=True)
class Training:
    """A training, planned by `of` and not yet run.

    Parameters
    ----------
    store : Features
    labelled : Labelled
        The images to learn from.
    options : TrainingOptions
    learnt : Learnt
        The features that are trained on.
    budget : Budget
    plan : ResidencePlan
    runner : TaskRunner
        Where the reading tasks run.
    device : torch.device
    """

    store: Features
    labelled: Labelled
    options: TrainingOptions
    learnt: Learnt
    budget: Budget
    plan: ResidencePlan
    runner: TaskRunner
    device: torch.device

    @classmethod
    def of(
        cls,
        store: Features,
        labelled: Labelled,
        options: TrainingOptions,
        memory: int,
        device: torch.device,
        client: Any = None,
        beside: int = 0,
    ) -> Self:
        """Plan a training.

        Parameters
        ----------
        store, labelled, options, device
            As above.
        memory : int
            Bytes to take above what the imports take.
        client : distributed.Client, optional
            The cluster that reads; its workers do so with their own memory.
        beside : int
            Bytes of the memory that something else takes meanwhile.

        Raises
        ------
        InputError
            If the memory is too small; the message names the least.
        """
        learnt = Learnt.of(store.spec, options.reduce, options.recipe, labelled.pixels.n)
        # Of a cluster, one result at a time arrives here.
        readers = 1 if client else TaskRunner().workers
        budget = _budget(store, labelled, options, learnt, memory - beside, readers)
        budget = replace(budget, memory=memory, fixed=budget.fixed + beside)
        plan = _residence(labelled, options, learnt, budget)
        runner = TaskRunner(client, None if client else budget.readers)
        return cls(store, labelled, options, learnt, budget, plan, runner, device)

    @property
    def batch(self) -> int:
        """Pixels a batch."""
        return min(self.options.batch_size, self.labelled.pixels.n)

    @property
    def steps(self) -> int:
        """Batches a member, at most."""
        return self.options.rule.step_limit(self.labelled.pixels.n // self.batch)

    @property
    def taken(self) -> int:
        """Bytes that it will take of the memory allowed."""
        return self.budget.taken(self.plan.n_bytes)

    def stack(self, dims: int) -> MemberStack:
        """Return untrained members of so many channels."""
        n_classes = len(self.labelled.classes)
        return MemberStack(self.options.members, dims, hidden_widths(n_classes), n_classes)

    def seconds_a_step(self) -> float:
        """Measure an update of all members, without reading."""
        return seconds_per_step(self.stack(self.learnt.spec.dims).to(self.device), self.batch)

    def reading_seconds(self) -> float:
        """Estimate reading and drawing, at the pace of two rows."""
        return reading_seconds(
            self.store,
            self.labelled.pixels,
            self.learnt,
            self.plan,
            self.runner,
            steps=self.steps,
            members=self.options.members,
            batch_size=self.batch,
            device=self.device,
        )

    def masks_seconds(self, stems: Sequence[str]) -> float:
        """Estimate making the masks of some images, at the pace of two of them."""
        members = self.stack(self.store.spec.dims).to(self.device)
        return masks_seconds(self.store, members, stems, self.device)

    def run(self, progress: Progress) -> PixelEnsemble:
        """Train; return the ensemble, which takes all channels.

        Raises
        ------
        DsegError
            If features cannot be read, or a loss is not finite.
        """
        reduction = self._reduction(progress)
        sampler = self._sampler(reduction)
        with progress.bar("read", sampler.tasks, "chunks") as advance:
            sampler.load(advance)
        ensemble = self._untrained()
        with progress.bar("fit", self.steps, "steps") as step:
            done = 0

            def advance_to(now: int, _: int, losses: NDArray[Any]) -> None:
                nonlocal done
                step(now - done)
                done = now

            ensemble.fit_batches(
                sampler,
                self.labelled.y,
                classes=self.labelled.classes,
                spec=self.store.spec,
                reduction=reduction,
                progress=advance_to,
            )
        return ensemble

    def _reduction(self, progress: Progress) -> Reduction | None:
        kept, pixels = self.learnt.kept, self.labelled.pixels
        if kept is None:
            return None
        chunks = len(pixels.rows) * len(self.store.spec.map_sizes)
        with progress.bar("reduce", chunks, "chunks") as advance:
            return find_reduction(self.store, pixels, kept, self.options.seed, self.runner, advance)

    def _sampler(self, reduction: Reduction | None) -> PixelSampler:
        return PixelSampler(
            self.store,
            self.labelled.pixels,
            self.plan,
            members=self.options.members,
            batch_size=self.options.batch_size,
            seed=self.options.seed,
            runner=self.runner,
            device=self.device,
            reduction=reduction,
        )

    def _untrained(self) -> PixelEnsemble:
        options = self.options
        return PixelEnsemble(
            n_members=options.members,
            voting=options.voting,
            recipe=options.recipe,
            max_steps=options.max_steps,
            batch_size=options.batch_size,
            balance=options.balance,
            random_state=options.seed,
            device=self.device,
        )


def _budget(
    store: Features,
    labelled: Labelled,
    options: TrainingOptions,
    learnt: Learnt,
    memory: int,
    readers: int,
) -> Budget:
    pixels, batch = labelled.pixels, min(options.batch_size, labelled.pixels.n)
    return budget_for(
        memory,
        store.spec,
        chunk=store.chunk_bytes,
        n_pixels=pixels.n,
        n_classes=len(labelled.classes),
        members=options.members,
        batch_size=batch,
        recipe=options.recipe,
        readers=readers,
        features=minimum_memory(learnt.spec, pixels.n, len(pixels.rows), batch),
        reduced=None if learnt.kept is None else learnt.spec,
        sample=learnt.sample_bytes,
    )


def _residence(
    labelled: Labelled, options: TrainingOptions, learnt: Learnt, budget: Budget
) -> ResidencePlan:
    pixels, batch = labelled.pixels, min(options.batch_size, labelled.pixels.n)
    if budget.free < budget.features:
        raise InputError(
            f"--memory {budget.memory / 1e6:.0f}MB is too little: {learnt.spec.dims} "
            f"channels, {options.members} members and {len(labelled.classes)} classes need "
            f"at least {math.ceil(budget.least / 1e6)}MB"
        )
    return plan_residence(learnt.spec, pixels.n, len(pixels.rows), budget.free, batch)
