"""Features brought to one scale before they are learnt from.

Activations of different blocks differ in scale by orders of magnitude, and Adam learns large
inputs first. So each channel is standardised, and each layer is given the same total variance,
however many channels it has: a layer of five channels then counts as much as one of a thousand.

Both are a shift and a factor for each channel, which commute with interpolation and fold into the
first linear layer: ``W (s ⊙ (x - m)) + b = (s ⊙ W) x + (b - (s ⊙ W) m)``. A trained ensemble
carries no trace of it.

The factors have the unit 1 / x, so what is learnt does not depend on the unit of the features. A
channel that is constant in the sample may vary elsewhere: it gets the factor that a channel of its
layer's mean variance has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .members import MemberStack

__all__ = ["Scaling"]

_FLOOR = 0.1
"""Of a channel's deviation, as a share of its layer's: a channel that is nearly constant in the
sample is not blown up."""


@dataclass(frozen=True)
class Scaling:
    """A shift and a factor for each channel.

    Parameters
    ----------
    shift, factor : tensor of shape (D,), float32
    """

    shift: Tensor
    factor: Tensor

    @classmethod
    def of(
        cls, features: Tensor, layers: Sequence[int], *, of_all: tuple[int, int] | None = None
    ) -> Self:
        """Return the scaling after which every layer has the same variance.

        Parameters
        ----------
        features : tensor of shape (n, D), float32
            A sample of feature vectors.
        layers : sequence of int
            Channels of each layer; they add up to D.
        of_all : (channels, layers), optional
            How many there are in all, where these are some of them.
        """
        all_channels, all_layers = of_all or (sum(layers), len(layers))
        variance, shift = torch.var_mean(features, dim=0, correction=0)
        # told by the values: rounding leaves some variance to equal ones
        constant = features.amin(dim=0) == features.amax(dim=0)
        variance, shift = variance.masked_fill(constant, 0), shift.where(~constant, features[0])
        factors = []
        parts = (torch.split(each, list(layers)) for each in (variance, constant))
        for part, same in zip(*parts, strict=True):
            if same.all():  # it says nothing, and must not say infinitely much
                factors.append(torch.ones_like(part))
                continue
            mean = part.mean()
            floor = _FLOOR**2 * mean + torch.finfo(torch.float32).tiny
            share = all_channels / (all_layers * len(part))
            factors.append(torch.sqrt(share / part.clamp(min=floor).where(~same, mean)))
        return cls(shift, torch.cat(factors))

    def apply_(self, features: Tensor) -> Tensor:
        """Scale feature vectors (…, D) in place, and return them."""
        return features.sub_(self.shift).mul_(self.factor)

    @torch.no_grad()
    def fold_into(self, stack: MemberStack) -> None:
        """Make a stack that was trained on scaled features take them as they are."""
        weight = stack.weights[0]
        weight.mul_(self.factor.unsqueeze(1))  # (M, D, H)
        stack.biases[0].sub_(torch.einsum("d,mdh->mh", self.shift, weight))
