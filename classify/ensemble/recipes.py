"""How to train, and when to stop: the published recipe, and one that is bounded."""

import math
from dataclasses import dataclass
from typing import Self

__all__ = ["Recipe", "StoppingRule"]


@dataclass(frozen=True)
class Recipe:
    """How to train: optimiser, length, when to stop.

    Parameters
    ----------
    name : str
    learning_rate : float
        Of Adam.
    batch_size : int
        Pixels a batch.
    decay : bool
        Let the learning rate fall to 0 over the whole length, as half a cosine.
    max_steps, max_epochs : int, optional
        The length; at least one is given.
    patience : int, optional
        Each member stops by the published rule, see `StoppingRule`; None: none stops early.
    standardise : bool
        Bring the features to one scale first, see `scaling.Scaling`.
    balance : float
        How much more the pixels of rare classes count, see `balance.class_weights`; 0: no more.
    """

    name: str
    learning_rate: float
    batch_size: int
    decay: bool
    max_steps: int | None = None
    max_epochs: int | None = None
    patience: int | None = None
    standardise: bool = False
    balance: float = 0.0

    @classmethod
    def default(cls, max_steps: int = 2000) -> Self:
        """Return the bounded recipe: a decaying rate reaches the published accuracy sooner.

        Steps, not pixels, limit accuracy, so the batch stays as small as published.
        """
        return cls(
            "default",
            learning_rate=3e-3,
            batch_size=64,
            decay=True,
            max_steps=max_steps,
            standardise=True,
            balance=0.3,
        )

    @classmethod
    def paper(cls) -> Self:
        """Return the published recipe (Baranchuk et al., ICLR 2022, ``train_interpreter.py``)."""
        return cls(
            "paper", learning_rate=1e-3, batch_size=64, decay=False, max_epochs=100, patience=50
        )

    def step_limit(self, batches_per_epoch: int) -> int:
        """Return how many steps training takes if no member stops early.

        Examples
        --------
        >>> Recipe.paper().step_limit(batches_per_epoch=10), Recipe.default().step_limit(10)
        (1000, 2000)
        """
        bounds = [] if self.max_steps is None else [self.max_steps]
        if self.max_epochs is not None:
            bounds.append(self.max_epochs * batches_per_epoch)
        return min(bounds)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, from 0, of so many."""
        if not self.decay:
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))


class StoppingRule:
    """When a member has learnt enough, as published.

    In epochs with index 4 and later, a batch loss lower than the lowest so far resets a counter,
    any other adds one; training stops once the counter exceeds the patience. Earlier epochs do not
    count, nor do their losses.

    Parameters
    ----------
    patience : int
        50 as published.
    """

    FIRST_EPOCH = 4
    START = 10_000_000.0

    def __init__(self, patience: int = 50) -> None:
        self.patience = patience
        self.best = self.START
        self.waited = 0

    def stops(self, epoch: int, loss: float) -> bool:
        """Take note of a batch's loss; return whether to stop after its update."""
        if epoch < self.FIRST_EPOCH:
            return False
        if loss < self.best:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        return self.waited > self.patience
