"""Learning from fewer channels: the principal components of each map size's channels.

Activations of a map size say much of the same thing, above all those of one block at several
timesteps. A training step costs what its channels cost, so the ensemble may learn from their
principal components alone. They are found on standardised channels, each layer at the same total
variance (see `scaling`), and are not whitened: small components stay small. The extra layers
(filters, colour and place) are few channels, and are kept as they are.

With ``z = Aᵀ x - b`` a linear layer on z is one on x, ``W z + c = (A W)ᵀ x + (c - W b)``: the
trained ensemble takes all channels, and stores and prediction know nothing of the reduction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...store.errors import InputError
from ...store.sampling.reduction import Reduction, reduced_spec
from ...store.spec import FeatureSpec
from .members import MemberStack
from .scaling import Scaling

__all__ = ["ReductionPlan", "default_dims", "expand", "fit_reduction"]

_SHARE, _FEWEST = 5, 256

_PIXELS = 2048
"""Sampled pixels, unless more components are sought."""

_COPIES_OF_COMPONENTS = 5
"""Tables of channels by components, float32, that the randomised search works with."""


def default_dims(dims: int) -> int:
    """Return to how many channels features are reduced unless it is told: a fifth, at least 256.

    On real photographs that is as good as all channels, here a little worse, there better
    (docs/fit-curves.md), and several times faster. Where it would leave more than half of them,
    none are left out.

    Examples
    --------
    >>> [default_dims(dims) for dims in (8448, 1289, 512, 500, 41)]
    [1689, 257, 256, 500, 41]
    """
    fewer = max(_FEWEST, dims // _SHARE)
    return fewer if 2 * fewer <= dims else dims


@dataclass(frozen=True)
class ReductionPlan:
    """How many channels of each map size remain.

    Parameters
    ----------
    components : dict
        Of the activations, by map size; 0 where a size has extra layers only.
    extras : dict
        Channels of the extra layers, by map size.
    """

    components: Mapping[str, int]
    extras: Mapping[str, int]

    @classmethod
    def of(cls, spec: FeatureSpec, dims: int, pixels: int | None = None) -> Self:
        """Share out ``dims`` channels, to each map size by its part of all of them.

        Where there are so few ``pixels``, no more components of any map size than that.

        Raises
        ------
        InputError
            If there are no fewer channels to begin with, or not one would be left for a map size.
        """
        extras = {size: _extras(spec, size) for size in spec.map_sizes}
        activations = {size: _channels(spec, size) - extras[size] for size in spec.map_sizes}
        least = sum(extras.values()) + sum(count > 0 for count in activations.values())
        if not least <= dims < spec.dims:
            raise InputError(
                f"features of {spec.dims} channels cannot be reduced to {dims}: from {least} "
                f"(one a map size, and the extra layers) to {spec.dims - 1} are possible"
            )
        shares = _shared(dims - sum(extras.values()), activations)
        most = dims if pixels is None else pixels
        return cls({size: min(count, most) for size, count in shares.items()}, extras)

    @property
    def dims(self) -> int:
        """All channels that remain."""
        return sum(self.components.values()) + sum(self.extras.values())

    def spec(self, full: FeatureSpec) -> FeatureSpec:
        """Return the spec of the reduced features."""
        channels = {size: self.components[size] + self.extras[size] for size in full.map_sizes}
        return reduced_spec(full, channels)

    def sample_bytes(self, full: FeatureSpec) -> int:
        """Return what the sample takes, and the search in it for one map size after the other."""
        widest = max(_channels(full, size) for size in full.map_sizes)
        most = max(self.components.values())
        in_work = self.pixels + _COPIES_OF_COMPONENTS * most
        return 2 * full.dims * self.pixels + 4 * widest * in_work

    @property
    def pixels(self) -> int:
        """How many pixels to sample for `fit_reduction`."""
        return max(_PIXELS, *self.components.values())


def _shared(count: int, parts: Mapping[str, int]) -> dict[str, int]:
    """Share out a count by the size of each part: one to each, then so that it comes out even."""
    wanted = {name: n for name, n in parts.items() if n}
    factor = (count - len(wanted)) / (sum(wanted.values()) - len(wanted) or 1)
    exact = {name: 1 + factor * (n - 1) for name, n in wanted.items()}
    shares = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(wanted, key=lambda name: shares[name] - exact[name])
    for name in by_remainder[: count - sum(shares.values())]:
        shares[name] += 1
    return {name: shares.get(name, 0) for name in parts}


def _channels(spec: FeatureSpec, size: str) -> int:
    return sum(spec.layers[i].channels for i in spec.layers_of(size))


def _extras(spec: FeatureSpec, size: str) -> int:
    layers = [spec.layers[i] for i in spec.layers_of(size)]
    return sum(layer.channels for layer in layers if layer.is_extra)


def fit_reduction(
    sample: Mapping[str, NDArray[np.float16]], spec: FeatureSpec, kept: ReductionPlan
) -> Reduction:
    """Return the reduction to the leading principal components of a sample.

    Parameters
    ----------
    sample : mapping of arrays of shape (n, C), float16
        By map size, the channels of some pixels, as in the array ``features/<map size>``.
    spec : FeatureSpec
    kept : ReductionPlan
    """
    parts = {size: _part(sample[size], spec, size, kept) for size in spec.map_sizes}
    return Reduction(
        spec,
        {size: matrix for size, (matrix, _) in parts.items()},
        {size: shift for size, (_, shift) in parts.items()},
    )


def _part(
    sample: NDArray[np.float16], spec: FeatureSpec, size: str, kept: ReductionPlan
) -> tuple[Tensor, Tensor]:
    """Return matrix (C, k) and shift (k,) of one map size."""
    layers = [spec.layers[i] for i in spec.layers_of(size)]
    x = torch.from_numpy(sample).float()
    scaling = Scaling.of(
        x, [layer.channels for layer in layers], of_all=(spec.dims, len(spec.layers))
    )
    scaling.apply_(x)
    inner = x.shape[1] - kept.extras[size]  # extras come last
    rotation = torch.eye(x.shape[1])[:, inner:]
    count = min(kept.components[size], len(x))
    if count:
        # here, for who does not reduce need not wait for its import
        from sklearn.decomposition import PCA

        pca = PCA(count, copy=False, svd_solver="randomized", random_state=0)
        found = pca.fit(x[:, :inner].numpy())
        components = torch.zeros(x.shape[1], count)
        components[:inner] = torch.from_numpy(found.components_.T)
        rotation = torch.cat([components, rotation], dim=1)
    matrix = scaling.factor.unsqueeze(1) * rotation
    return matrix, scaling.shift @ matrix


@torch.no_grad()
def expand(stack: MemberStack, reduction: Reduction) -> MemberStack:
    """Return the stack that takes all channels and scores as this one does on the reduced.

    Parameters
    ----------
    stack : MemberStack
        Trained on ``reduction.spec``.
    reduction : Reduction

    Returns
    -------
    MemberStack
        In evaluation mode, on the same device.
    """
    full, reduced = reduction.full, reduction.spec
    whole = MemberStack(stack.members, full.dims, stack.widths[1:-1], stack.widths[-1])
    whole.to(stack.weights[0].device).eval()
    theirs = stack.state_dict()
    for key, value in whole.state_dict().items():
        if key != "weights.0":
            value.copy_(theirs[key])
    for number, size in enumerate(full.map_sizes):
        columns = slice(reduced.offsets[number], reduced.offsets[number + 1])
        weight = stack.weights[0][:, columns]  # (M, k, H)
        matrix = reduction.matrices[size].to(weight.device)
        shift = reduction.shifts[size].to(weight.device)
        whole.biases[0].sub_(torch.einsum("k,mkh->mh", shift, weight))
        for layer in full.layers_of(size):
            rows = matrix[full.channel_slices[layer]]
            whole.weights[0][:, full.offsets[layer] : full.offsets[layer + 1]] = rows @ weight
    return whole
