"""Fitting the members of an ensemble from batches of pixels, and when to stop.

The members' losses L_m, each the mean cross-entropy over the member's own batch, are added and
differentiated together: no parameter is shared, so dΣL/dθ_m = dL_m/dθ_m and every member trains
as if alone. A member that stops is taken out of the stack: it changes no more and costs no more.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...store.errors import DsegError
from ...store.sampling.batch import Batch
from .class_balance import class_weights
from .members import MemberStack
from .recipes import Recipe, StoppingRule
from .scaling import Scaling

__all__ = [
    "MemberLog",
    "Sampler",
    "Trainer",
    "TrainingLog",
    "seconds_per_step",
    "train",
]

LOG_EVERY = 10
"""Read the losses every so many steps, unless early stopping needs each of them."""

LOG_LENGTH = 512
"""A member's loss curve is thinned by half when it has twice as many points."""

Progress = Callable[[int, int, NDArray[np.float64]], None]
"""Called with steps done, steps at most, and each member's last loss (NaN if it has stopped)."""


class Sampler(Protocol):
    """Where batches come from: `store.sampling.sampler.PixelSampler`, or an array in memory."""

    n: int
    dims: int
    members: int
    batch_size: int

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches a member sees in an epoch, at most."""

    def batches(self) -> Iterator[Batch]:
        """Yield batches, epoch after epoch."""


@dataclass
class MemberLog:
    """How the training of one member went.

    Parameters
    ----------
    steps, epochs : int
        Updates made, and epochs begun.
    stopped_by : str
        Why it ended.
    losses : list of (step, loss)
        The loss of some batches, evenly spread; the step counts from 1.
    spacing : int
        Steps between two of them, at least.
    """

    steps: int = 0
    epochs: int = 0
    stopped_by: str = ""
    losses: list[tuple[int, float]] = field(default_factory=list)
    spacing: int = 1

    def note(self, step: int, loss: float) -> None:
        """Keep a loss if it is due, and the curve short."""
        if self.losses and step - self.losses[-1][0] < self.spacing:
            return
        self.losses.append((step, loss))
        if len(self.losses) >= 2 * LOG_LENGTH:
            del self.losses[1::2]
            self.spacing = max(2 * self.spacing, self.losses[1][0] - self.losses[0][0])


@dataclass
class TrainingLog:
    """How the training of an ensemble went.

    Parameters
    ----------
    recipe : Recipe
    pixels : int
        N, the number of training pixels.
    seconds : float
    members : list of MemberLog
    """

    recipe: Recipe
    pixels: int
    seconds: float
    members: list[MemberLog]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` is the inverse."""
        plain = asdict(self)
        for member in plain["members"]:
            member["losses"] = [[step, loss] for step, loss in member["losses"]]
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Rebuild a log from `to_dict`'s values."""
        members = [
            MemberLog(**{**m, "losses": [(int(s), float(v)) for s, v in m["losses"]]})
            for m in plain["members"]
        ]
        return cls(Recipe(**plain["recipe"]), plain["pixels"], plain["seconds"], members)


class Trainer:
    """Adam over those members of a stack that still train.

    Parameters
    ----------
    stack : MemberStack
        Trained in place until the first member retires; from then on a smaller copy is trained,
        and a member of the stack is up to date once it was retired or published.
    learning_rate : float
    weights : tensor of shape (C,), float32, optional
        How much a pixel of each class counts, on average 1; by default all alike.
    """

    def __init__(
        self, stack: MemberStack, learning_rate: float = 1e-3, weights: Tensor | None = None
    ) -> None:
        self.stack = stack
        self.weights = weights
        self.active = list(range(stack.members))
        self._active_stack = stack
        self._adam = self._optimiser(learning_rate)

    def _optimiser(self, rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(self._active_stack.parameters(), lr=rate, fused=True)

    def step(self, features: Tensor, labels: Tensor, learning_rate: float | None = None) -> Tensor:
        """Make one update of each active member.

        Parameters
        ----------
        features : tensor of shape (active members, batch, D), float32
        labels : tensor of shape (active members, batch), int64
        learning_rate : float, optional
            From now on.

        Returns
        -------
        tensor of shape (active members,)
            Each member's loss before the update: the mean over the batch, weighted.
        """
        if learning_rate is not None:
            self._adam.param_groups[0]["lr"] = learning_rate
        scores = self._active_stack.train()(features)  # (M, B, C); cross_entropy wants (M, C, B)
        scores = scores.transpose(1, 2)
        losses = cross_entropy(scores, labels, self.weights, reduction="none").mean(dim=1)
        self._adam.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        return losses.detach()

    def publish(self) -> None:
        """Write all active members to the stack, and go on training them."""
        if self._active_stack is not self.stack:
            self.stack.assign(self.active, self._active_stack)

    def retire(self, members: Sequence[int]) -> None:
        """Write some active members back to the stack and train only the others from now on."""
        remaining = [i for i, member in enumerate(self.active) if member not in members]
        stopping = [i for i, member in enumerate(self.active) if member in members]
        if self._active_stack is not self.stack:
            self.stack.assign(
                [self.active[i] for i in stopping], self._active_stack.select(stopping)
            )
        self._adam.zero_grad()  # frees the gradients, as much memory as the parameters
        if remaining:
            self._keep_members(remaining)
        self.active = [self.active[i] for i in remaining]

    def _keep_members(self, remaining: list[int]) -> None:
        """Keep the parameters and the optimiser's moments of some active members."""
        states = [self._adam.state[parameter] for parameter in self._active_stack.parameters()]
        rate = self._adam.param_groups[0]["lr"]
        self._active_stack = self._active_stack.select(remaining)
        self._adam = self._optimiser(rate)
        for parameter, state in zip(self._active_stack.parameters(), states, strict=True):
            # The moments have a member axis, the step count is a scalar.
            self._adam.state[parameter] = {
                key: value[remaining] if value.ndim else value for key, value in state.items()
            }


def train(
    stack: MemberStack,
    sampler: Sampler,
    y: NDArray[np.integer],
    recipe: Recipe,
    progress: Progress | None = None,
    layers: Sequence[int] | None = None,
) -> TrainingLog:
    """Train all members of a stack, each on its own batches.

    Parameters
    ----------
    stack : MemberStack
        Initialised; trained in place, and left in evaluation mode.
    sampler : Sampler
        Draws a batch a member.
    y : array of shape (n,), integer
        The class of each of the sampler's pixels, 0 to C - 1.
    recipe : Recipe
    progress : callable, optional
    layers : sequence of int, optional
        Channels of each layer of a feature vector, for a recipe that standardises; by default one
        layer of all.

    Returns
    -------
    TrainingLog

    Raises
    ------
    DsegError
        If a loss is not finite.
    """
    start, steps = time.monotonic(), recipe.step_limit(sampler.batches_per_epoch)
    counts = np.bincount(y, minlength=stack.widths[-1])
    run = _TrainingRun(stack, recipe, steps, layers or (sampler.dims,), counts)
    ended_by = "the sampler's end"
    for step, batch in enumerate(sampler.batches()):
        if recipe.max_epochs is not None and batch.epoch >= recipe.max_epochs:
            ended_by = f"{recipe.max_epochs} epochs"
            break
        run.step(step, batch, y, progress)
        if step + 1 == steps or not run.trainer.active:
            ended_by = f"{steps} steps"
            break
    run.stop(list(run.trainer.active), ended_by)
    if run.scaling is not None:
        run.scaling.fold_into(stack)
    stack.eval()
    return TrainingLog(recipe, sampler.n, time.monotonic() - start, run.logs)


class _TrainingRun:
    """The state of one call of `train`."""

    def __init__(
        self,
        stack: MemberStack,
        recipe: Recipe,
        steps: int,
        layers: Sequence[int],
        counts: NDArray[np.integer],
    ) -> None:
        self.recipe, self.steps, self.layers = recipe, steps, layers
        self.scaling: Scaling | None = None
        self.device = stack.weights[0].device
        weights = None
        if recipe.balance:
            weights = class_weights(torch.from_numpy(counts), recipe.balance).to(self.device)
        self.trainer = Trainer(stack, recipe.learning_rate, weights)
        self.logs = [MemberLog() for _ in range(stack.members)]
        self.rules = (
            None
            if recipe.patience is None
            else [StoppingRule(recipe.patience) for _ in range(stack.members)]
        )

    def step(
        self, step: int, batch: Batch, y: NDArray[np.integer], progress: Progress | None
    ) -> None:
        active = self.trainer.active
        labels = torch.from_numpy(y[batch.index[active]].astype(np.int64)).to(self.device)
        features = batch.features if len(active) == len(self.logs) else batch.features[active]
        features = self._scale(features.to(self.device))
        rate = self.recipe.rate(step, self.steps)
        losses = self.trainer.step(features, labels, rate)
        for member in active:
            self.logs[member].steps, self.logs[member].epochs = step + 1, batch.epoch + 1
        if self.rules is None and step % LOG_EVERY and step + 1 != self.steps:
            return  # reading a loss would wait for the device
        values = self._read_losses(step, losses)
        if self.rules is not None:
            done = [m for m in active if self.rules[m].stops(batch.epoch, float(values[m]))]
            self.stop(done, f"no new lowest loss in {self.recipe.patience} batches")
        if progress is not None:
            progress(step + 1, self.steps, values)

    def _scale(self, features: Tensor) -> Tensor:
        """Standardise a batch, in place, by statistics of the first batch of the first member.

        64 vectors estimate a deviation to a tenth, which is enough. By that batch alone, so that
        the result of a member does not depend on the number of members.
        """
        if not self.recipe.standardise:
            return features
        if self.scaling is None:
            self.scaling = Scaling.of(features[0], self.layers)
        return self.scaling.apply_(features)

    def _read_losses(self, step: int, losses: Tensor) -> NDArray[np.float64]:
        values = np.full(len(self.logs), np.nan)
        values[self.trainer.active] = losses.cpu().numpy()
        for member in self.trainer.active:
            if not np.isfinite(values[member]):
                raise DsegError(
                    f"the loss of member {member} is {values[member]} at step {step + 1}: "
                    "training diverged. Check that the features are finite; a lower learning "
                    "rate may help"
                )
            self.logs[member].note(step + 1, float(values[member]))
        return values

    def stop(self, members: list[int], why: str) -> None:
        if not members:
            return
        self.trainer.retire(members)
        for member in members:
            self.logs[member].stopped_by = why


def seconds_per_step(stack: MemberStack, batch_size: int = 64, steps: int = 5) -> float:
    """Measure how long one update of all members takes, on random numbers and a copy.

    Without the time of drawing batches. Times `Recipe.step_limit`: an upper bound of training.
    """
    device, n_classes = stack.weights[0].device, stack.widths[-1]
    trainer = Trainer(stack.select(range(stack.members)))
    sample = torch.rand(batch_size, stack.widths[0], generator=torch.Generator().manual_seed(0))
    features = sample.to(device).expand(stack.members, -1, -1).contiguous()
    labels = torch.arange(batch_size, device=device).remainder(n_classes)
    labels = labels.expand(stack.members, -1)
    trainer.step(features, labels).cpu()  # warm-up: the first step allocates
    stamps = [time.perf_counter()]
    for _ in range(steps):
        trainer.step(features, labels).cpu()
        stamps.append(time.perf_counter())
    return median(after - before for before, after in pairwise(stamps))
