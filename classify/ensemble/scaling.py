"""Standardise features for training.

Activations of different blocks differ in scale by orders of magnitude, and Adam learns from large
inputs first. So each channel is standardised, and each layer is given the same total variance,
however many channels it has: a layer of five channels then counts as much as one of a thousand.

This is a shift and a factor for each channel. They commute with interpolation and can be folded
into the first linear layer after training: ``W (s ⊙ (x - m)) + b = (s ⊙ W) x + (b - (s ⊙ W) m)``. A
trained ensemble takes features as they are stored.

A channel that is constant in the sample may vary elsewhere: it gets the factor of a channel with
the mean variance of its layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .members import MemberStack

__all__ = ["Scaling"]

_FLOOR = 0.1
"""Least deviation of a channel, as a fraction of its layer's: a channel that is nearly constant in
the sample would be amplified otherwise."""


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
        cls, features: Tensor, layers: Sequence[int], *, totals: tuple[int, int] | None = None
    ) -> Self:
        """Return the scaling after which every layer has the same variance.

        Parameters
        ----------
        features : tensor of shape (n, D), float32
            A sample of feature vectors.
        layers : sequence of int
            Channels of each layer; they add up to D.
        totals : (channels, layers), optional
            Totals of the feature vector, if ``features`` are only some of its layers.
        """
        all_channels, all_layers = totals or (sum(layers), len(layers))
        variance, shift = torch.var_mean(features, dim=0, correction=0)
        # Compare values: rounding may give equal values a variance above 0.
        constant = features.amin(dim=0) == features.amax(dim=0)
        variance, shift = variance.masked_fill(constant, 0), shift.where(~constant, features[0])
        factors = []
        parts = (torch.split(each, list(layers)) for each in (variance, constant))
        for part, is_constant in zip(*parts, strict=True):
            if is_constant.all():  # no information, and 1 / 0 otherwise
                factors.append(torch.ones_like(part))
                continue
            mean = part.mean()
            floor = _FLOOR**2 * mean + torch.finfo(torch.float32).tiny
            share = all_channels / (all_layers * len(part))
            factors.append(torch.sqrt(share / part.clamp(min=floor).where(~is_constant, mean)))
        return cls(shift, torch.cat(factors))

    def apply_(self, features: Tensor) -> Tensor:
        """Scale feature vectors (…, D) in place, and return them."""
        return features.sub_(self.shift).mul_(self.factor)

    @torch.no_grad()
    def fold_into(self, stack: MemberStack) -> None:
        """Convert a stack that was trained on scaled features to take unscaled ones."""
        weight = stack.weights[0]
        weight.mul_(self.factor.unsqueeze(1))  # (M, D, H)
        stack.biases[0].sub_(torch.einsum("d,mdh->mh", self.shift, weight))
