"""What a sampler yields: one batch for each member."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """One batch for each member.

    Parameters
    ----------
    epoch : int
        From 0.
    features : tensor of shape (members, batch, D), float32
    index : array of shape (members, batch), int64
        The pixels' numbers in the sampler.
    """

    epoch: int
    features: Tensor
    index: NDArray[np.int64]
