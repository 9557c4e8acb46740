"""A training run from where it stands to its end, by steps or by time."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ...extract.images.reading import UnreadableImage
from ...store.errors import DsegError
from ..train.processes import Processes
from .stopping import stop_requests

__all__ = ["Batches", "Diverged", "Length", "Trainable", "TrainingStatus", "train"]


class Trainable(Protocol):
    """What is trained step by step.

    Attributes
    ----------
    here : Processes
    precision : torch.dtype
    done : int
        Steps taken.
    batch_size : int
        Images a step, over all processes.
    """

    here: Processes
    precision: torch.dtype
    done: int

    @property
    def batch_size(self) -> int:
        """Images a step, over all processes."""

    def rate(self, progress: float) -> float:
        """Return the learning rate of the next step, at a share of the run that is done."""

    def step(self, batch: Any, rate: float, /) -> torch.Tensor:
        """Take one step on what `Batches` gave; return the loss, a scalar on the device."""


class Batches(Protocol):
    """What is seen at each position of an endless sequence."""

    def batch(self, start: int, count: int, pool: ThreadPoolExecutor | None = None, /) -> Any:
        """Return what stands at positions ``start`` to ``start + count``.

        Raises
        ------
        UnreadableImage
            If no image can be read any more.
        """


class Diverged(DsegError):  # noqa: N818  (as `UnreadableImage`)
    """Training diverged: the loss or the weights are not finite."""

    def __init__(self, step: int, precision: torch.dtype) -> None:
        helps = "use a lower --learning-rate (a new run: give another --out, or --overwrite)"
        if precision != torch.float32:
            helps += ", or continue with --precision float32"
        super().__init__(
            f"training diverged by step {step}: the loss or the weights are not finite. What was "
            f"saved last is kept. What helps: {helps}"
        )


@dataclass(frozen=True)
class Length:
    """When a run ends: after so many steps, so many seconds, or whichever comes first.

    Parameters
    ----------
    steps : int, optional
    seconds : float, optional
        Of training, over all sessions of a run that was interrupted.
    """

    steps: int | None = None
    seconds: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Return the share of the run that is done, in [0, 1]."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))


@dataclass(frozen=True)
class TrainingStatus:
    """Where a run stands after a step.

    Parameters
    ----------
    step : int
        Steps taken.
    seconds : float
        Of training so far.
    progress : float
    loss : float, optional
        Mean over the steps since the moment before, if there were any; of several processes, over
        the first one's part.
    rate : float
        Learning rate.
    last : bool
        Whether this one ends the run.
    stopped : bool
        Whether it ends because the process was asked to stop.
    """

    step: int
    seconds: float
    progress: float
    loss: float | None
    rate: float
    last: bool = False
    stopped: bool = False


def train(
    training: Trainable,
    images: Batches,
    length: Length,
    *,
    seconds: float = 0.0,
    every: float = 10.0,
    workers: int = 2,
    due_at: Callable[[float], bool] = lambda progress: False,
    advance: Callable[[TrainingStatus], None],
) -> TrainingStatus:
    """Train until the end, or until the process is asked to stop.

    Parameters
    ----------
    training : Trainable
    images : Batches
    length : Length
    seconds : float
        That earlier sessions of the run have taken.
    every : float
        Seconds between two calls of ``advance``; it is called at the end in any case. What it
        takes itself counts as training.
    workers : int
        Threads that decode.
    due_at : callable
        Whether ``advance`` is called besides, at a share of the run that is done.
    advance : callable
        Takes the `TrainingStatus`, in every process.

    Returns
    -------
    TrainingStatus
        The last.

    Raises
    ------
    Diverged
        If the loss is not finite.
    UnreadableImage
        If no image can be read any more; ``advance`` was called as if asked to stop.
    """
    here, began, called = training.here, time.monotonic() - seconds, time.monotonic()
    losses: list[torch.Tensor] = []
    rate, lost = 0.0, None
    with stop_requests() as asked, _batches(training, images, workers) as batches:
        while True:
            waited = time.monotonic() - called
            spent, stop, due = here.agreed(time.monotonic() - began, asked(), waited >= every)
            progress = length.progress(training.done, spent)
            stopped = bool(stop) or lost is not None
            last = stopped or progress >= 1
            if last or (due and losses) or due_at(progress):
                mean = _mean(losses, training)
                moment = TrainingStatus(training.done, spent, progress, mean, rate, last, stopped)
                advance(moment)
                called, losses = time.monotonic(), []
                if lost is not None:
                    raise lost
                if last:
                    return moment
            rate = training.rate(progress)
            try:
                losses.append(training.step(next(batches), rate))
            except UnreadableImage as error:
                if here.world > 1:  # the others wait in the step and would never hear of it
                    raise
                lost = error


def _mean(losses: list[torch.Tensor], training: Trainable) -> float | None:
    """Return the mean loss of some steps.

    A step without a loss spoils all that follow, but in float16, where it is left out: so only
    where no step has one, the run is lost.
    """
    values = torch.stack(losses).tolist() if losses else []
    values = [value for value in values if math.isfinite(value)]
    if losses and not values:
        raise Diverged(training.done, training.precision)
    return sum(values) / len(values) if values else None


@contextmanager
def _batches(training: Trainable, images: Batches, workers: int) -> Iterator[Iterator[Any]]:
    """Yield this process's parts of the batches to come, each made while the one before is used."""
    low, count = training.here.share(training.batch_size)

    def generate() -> Iterator[Any]:
        step = training.done
        coming = submit(step)
        while True:
            step, present = step + 1, coming
            coming = submit(step)
            yield present.result()

    def submit(step: int) -> "Future[Any]":
        start = step * training.batch_size + low
        return ahead.submit(images.batch, start, count, pool)

    with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(workers) as pool:
        yield generate()
