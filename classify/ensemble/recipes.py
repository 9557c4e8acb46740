"""Training recipes: the published one with its early stopping, and one of fixed length."""

import math
from dataclasses import dataclass, replace
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
        How much more the pixels of rare classes count, see `class_balance.class_weights`; 0: no
        more.
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

    def with_options(
        self, batch_size: int, learning_rate: float | None, balance: float | None
    ) -> Self:
        """Return the recipe with another batch size and, unless None, learning rate and balance."""
        return replace(
            self,
            batch_size=batch_size,
            learning_rate=self.learning_rate if learning_rate is None else learning_rate,
            balance=self.balance if balance is None else balance,
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
        """Return the learning rate of a step, counted from 0, out of ``steps``."""
        if not self.decay:
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))


class StoppingRule:
    """Early stopping of one member, as published.

    From epoch index 4 on, a batch loss lower than the lowest so far resets a counter, any other
    increments it; training stops once the counter exceeds the patience. Losses of earlier epochs
    are ignored.

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
        """Record the loss of a batch; return whether to stop after its update."""
        if epoch < self.FIRST_EPOCH:
            return False
        if loss < self.best:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        return self.waited > self.patience
