"""One training on labelled images of a store: planned to fit into a given memory, then run.

What `fit` does once, and whoever tries something out (`trial`) many times.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from numpy.typing import NDArray

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.ensemble.members import MemberStack, hidden_widths
from ...classify.ensemble.training import seconds_per_step
from ...store.errors import InputError, StoreError
from ...store.read.protocol import Features
from ...store.sampling.dask_tasks import TaskRunner
from ...store.sampling.pixel_set import PixelSet
from ...store.sampling.reduction import Reduction
from ...store.sampling.residence import ResidencePlan, plan_residence
from ...store.sampling.sampler import BatchOrder, PixelSampler
from ..console.progress import Progress
from ..features.sources import changed_meanwhile
from ..inputs.labelled_pixels import Labelled
from .feature_reduction import TrainingFeatures, find_reduction
from .memory_budget import Budget, budget_for
from .options import TrainingOptions

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """A training, planned by `of` and not yet run.

    Parameters
    ----------
    store : Features
    labelled : Labelled
        The images to learn from.
    options : TrainingOptions
    learnt : TrainingFeatures
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
    learnt: TrainingFeatures
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
        learnt = TrainingFeatures.of(store.spec, options.reduce, options.recipe, labelled.pixels.n)
        # Of a cluster, one result at a time arrives here.
        readers = 1 if client else TaskRunner().workers
        budget = budget_for(memory - beside, readers, store, labelled, options, learnt)
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

    def run(self, progress: Progress) -> PixelEnsemble:
        """Train; return the ensemble, which takes all channels.

        Raises
        ------
        DsegError
            If features cannot be read, or changed while they were, or a loss is not finite.
        """
        reduction = self._reduction(progress)
        sampler = self.sampler(self.labelled.pixels, self.plan, reduction)
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
        changed = self.labelled.changed(self.store)
        if changed:
            raise StoreError(changed_meanwhile(changed, self.store.where))
        return ensemble

    def _reduction(self, progress: Progress) -> Reduction | None:
        kept, pixels = self.learnt.kept, self.labelled.pixels
        if kept is None:
            return None
        chunks = len(pixels.rows) * len(self.store.spec.map_sizes)
        with progress.bar("reduce", chunks, "chunks") as advance:
            return find_reduction(self.store, pixels, kept, self.options.seed, self.runner, advance)

    def sampler(
        self, pixels: PixelSet, plan: ResidencePlan, reduction: Reduction | None
    ) -> PixelSampler:
        """Return what draws batches of some pixels."""
        options = self.options
        return PixelSampler(
            self.store,
            pixels,
            plan,
            BatchOrder(options.members, options.batch_size, options.seed),
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


def _residence(
    labelled: Labelled, options: TrainingOptions, learnt: TrainingFeatures, budget: Budget
) -> ResidencePlan:
    pixels, batch = labelled.pixels, min(options.batch_size, labelled.pixels.n)
    if budget.free < budget.features:
        raise InputError(
            f"--memory {budget.memory / 1e6:.0f}MB is too little: {learnt.spec.dims} "
            f"channels, {options.members} members and {len(labelled.classes)} classes need "
            f"at least {math.ceil(budget.least / 1e6)}MB"
        )
    return plan_residence(learnt.spec, pixels.n, len(pixels.rows), budget.free, batch)
