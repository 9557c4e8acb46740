"""Batches from an array in memory; `store.sampling.sampler` draws them from a store."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray

from ...store.sampling.batch import Batch

__all__ = ["ArraySampler"]


class ArraySampler:
    """Draws each member's batches from an array, every epoch in a new order.

    The order is a pure function of (seed, member, epoch), whatever the number of members. The last
    incomplete batch of an epoch is dropped, as published.

    Parameters
    ----------
    X : array of shape (n, D), float32
    members : int
    batch_size : int
        If there are fewer pixels, one batch of all.
    seed : int
    """

    def __init__(
        self, X: NDArray[np.float32], *, members: int = 10, batch_size: int = 64, seed: int = 0
    ) -> None:
        self.n, self.dims = int(X.shape[0]), int(X.shape[1])
        self.members, self.seed = members, seed
        self.batch_size: int = min(batch_size, self.n)
        self._X = X

    @property
    def batches_per_epoch(self) -> int:
        """How many whole batches a member sees in an epoch."""
        return self.n // self.batch_size

    def batches(self) -> Iterator[Batch]:
        """Yield batches without end, epoch after epoch."""
        for epoch in count():
            yield from self.epoch(epoch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        orders = np.stack([self._order(member, epoch) for member in range(self.members)])
        for start in range(0, self.batches_per_epoch * self.batch_size, self.batch_size):
            index = orders[:, start : start + self.batch_size]
            yield Batch(epoch, torch.from_numpy(self._X[index]), index)

    def _order(self, member: int, epoch: int) -> NDArray[np.int64]:
        order = np.arange(self.n, dtype=np.int64)
        np.random.default_rng([self.seed, member, epoch]).shuffle(order)
        return order
