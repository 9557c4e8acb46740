"""Training on fewer channels: the principal components of the channels of each map size.

Activations of one map size are strongly correlated, above all those of one block at several
timesteps, and the time of a training step is proportional to the number of channels. So the
ensemble may be trained on their leading principal components. They are found on standardised
channels, with the same total variance for each layer (see `scaling`), and are not whitened: small
components stay small. The extra layers (filters, colour and position) have few channels, which
are kept.

With ``z = Aᵀ x - b`` a linear layer on z is one on x, ``W z + c = (A W)ᵀ x + (c - W b)``: the
trained ensemble is converted to take all channels. Neither stores nor prediction have to know of
the reduction.
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

_DEFAULT_FRACTION, _MIN_DIMS = 5, 256

_PIXELS = 2048
"""Pixels of the sample, unless more components are to be found."""

_COPIES_OF_COMPONENTS = 5
"""Float32 matrices (channels, components) that the randomised PCA holds at a time."""


def default_dims(dims: int) -> int:
    """Return the default number of channels after reduction: a fifth, at least 256.

    On real photographs that is about as good as all channels (docs/fit-curves.md) and several times
    faster. If more than half of the channels would remain, all are kept.

    Examples
    --------
    >>> [default_dims(dims) for dims in (8448, 1289, 512, 500, 41)]
    [1689, 257, 256, 500, 41]
    """
    fewer = max(_MIN_DIMS, dims // _DEFAULT_FRACTION)
    return fewer if 2 * fewer <= dims else dims


@dataclass(frozen=True)
class ReductionPlan:
    """The number of channels that remain of each map size.

    Parameters
    ----------
    components : dict
        Principal components of the activations, by map size; 0 if it has extra layers only.
    extras : dict
        Channels of the extra layers, by map size.
    """

    components: Mapping[str, int]
    extras: Mapping[str, int]

    @classmethod
    def of(cls, spec: FeatureSpec, dims: int, pixels: int | None = None) -> Self:
        """Divide ``dims`` channels among the map sizes, in proportion to their channels.

        A map size gets at most as many components as there are ``pixels`` to find them from.

        Raises
        ------
        InputError
            If ``dims`` is not less than all channels, or a map size would get none.
        """
        extras = {size: _extras(spec, size) for size in spec.map_sizes}
        activations = {size: spec.map_shape(size)[0] - extras[size] for size in spec.map_sizes}
        least = sum(extras.values()) + sum(count > 0 for count in activations.values())
        if not least <= dims < spec.dims:
            raise InputError(
                f"features of {spec.dims} channels cannot be reduced to {dims}: from {least} "
                f"(one a map size, and the extra layers) to {spec.dims - 1} are possible"
            )
        shares = _apportion(dims - sum(extras.values()), activations)
        max_components = dims if pixels is None else pixels
        return cls({size: min(count, max_components) for size, count in shares.items()}, extras)

    @property
    def dims(self) -> int:
        """Number of channels that remain."""
        return sum(self.components.values()) + sum(self.extras.values())

    def spec(self, full: FeatureSpec) -> FeatureSpec:
        """Return the spec of the reduced features."""
        channels = {size: self.components[size] + self.extras[size] for size in full.map_sizes}
        return reduced_spec(full, channels)

    def sample_bytes(self, full: FeatureSpec) -> int:
        """Return the bytes of the sample and of the PCA, which runs for one map size at a time."""
        widest = max(full.map_shape(size)[0] for size in full.map_sizes)
        max_components = max(self.components.values())
        working_columns = self.pixels + _COPIES_OF_COMPONENTS * max_components
        return 2 * full.dims * self.pixels + 4 * widest * working_columns

    @property
    def pixels(self) -> int:
        """How many pixels to sample for `fit_reduction`."""
        return max(_PIXELS, *self.components.values())


def _apportion(count: int, parts: Mapping[str, int]) -> dict[str, int]:
    """Divide a count in proportion to the parts (largest remainders), at least one for each."""
    nonzero = {name: n for name, n in parts.items() if n}
    factor = (count - len(nonzero)) / (sum(nonzero.values()) - len(nonzero) or 1)
    exact = {name: 1 + factor * (n - 1) for name, n in nonzero.items()}
    shares = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(nonzero, key=lambda name: shares[name] - exact[name])
    for name in by_remainder[: count - sum(shares.values())]:
        shares[name] += 1
    return {name: shares.get(name, 0) for name in parts}


def _extras(spec: FeatureSpec, size: str) -> int:
    layers = [spec.layers[i] for i in spec.layers_of(size)]
    return sum(layer.channels for layer in layers if layer.is_extra)


def fit_reduction(
    sample: Mapping[str, NDArray[np.float16]], spec: FeatureSpec, plan: ReductionPlan
) -> Reduction:
    """Return the reduction to the leading principal components of a sample.

    Parameters
    ----------
    sample : mapping of arrays of shape (n, C), float16
        By map size, the channels of some pixels, as in the array ``features/<map size>``.
    spec : FeatureSpec
    plan : ReductionPlan
    """
    parts = {size: _components_of_size(sample[size], spec, size, plan) for size in spec.map_sizes}
    return Reduction(
        spec,
        {size: matrix for size, (matrix, _) in parts.items()},
        {size: shift for size, (_, shift) in parts.items()},
    )


def _components_of_size(
    sample: NDArray[np.float16], spec: FeatureSpec, size: str, plan: ReductionPlan
) -> tuple[Tensor, Tensor]:
    """Return matrix (C, k) and shift (k,) of one map size."""
    layers = [spec.layers[i] for i in spec.layers_of(size)]
    x = torch.from_numpy(sample).float()
    scaling = Scaling.of(
        x, [layer.channels for layer in layers], totals=(spec.dims, len(spec.layers))
    )
    scaling.apply_(x)
    n_activations = x.shape[1] - plan.extras[size]  # extras come last
    rotation = torch.eye(x.shape[1])[:, n_activations:]
    count = min(plan.components[size], len(x))
    if count:
        components = torch.zeros(x.shape[1], count)
        components[:n_activations] = _principal_components(x[:, :n_activations], count)
        rotation = torch.cat([components, rotation], dim=1)
    matrix = scaling.factor.unsqueeze(1) * rotation
    return matrix, scaling.shift @ matrix


def _principal_components(x: Tensor, count: int) -> Tensor:
    """Return orthonormal directions (C, count) of most variance of a sample (n, C)."""
    if bool((x == x[0]).all()):  # as of maps of one cell in one image: any directions will do
        return torch.eye(x.shape[1], count)
    # imported here: it is slow, and not needed without reduction
    from sklearn.decomposition import PCA

    pca = PCA(count, copy=False, svd_solver="randomized", random_state=0)
    return torch.from_numpy(pca.fit(x.numpy()).components_.T)


@torch.no_grad()
def expand(stack: MemberStack, reduction: Reduction) -> MemberStack:
    """Return a stack that takes all channels and gives the same scores.

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
    expanded = MemberStack(stack.members, full.dims, stack.widths[1:-1], stack.widths[-1])
    expanded.to(stack.weights[0].device).eval()
    reduced_state = stack.state_dict()
    for key, value in expanded.state_dict().items():
        if key != "weights.0":
            value.copy_(reduced_state[key])
    for number, size in enumerate(full.map_sizes):
        columns = slice(reduced.offsets[number], reduced.offsets[number + 1])
        weight = stack.weights[0][:, columns]  # (M, k, H)
        matrix = reduction.matrices[size].to(weight.device)
        shift = reduction.shifts[size].to(weight.device)
        expanded.biases[0].sub_(torch.einsum("k,mkh->mh", shift, weight))
        for inputs, channels in full.columns_of(size):
            expanded.weights[0][:, inputs] = matrix[channels] @ weight
    return expanded
