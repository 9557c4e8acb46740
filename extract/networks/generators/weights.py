"""The weights of a generator, taken by name, with the factors of its training folded in.

A StyleGAN trains each weight with unit variance and multiplies it when it runs ("equalised learning
rate", Karras et al., ICLR 2018). Here the product is made once, when a network is loaded.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ....store.errors import InputError
from ...checkpoints.state_dict import StateDict, some_keys

__all__ = ["MappingNetwork", "Weights", "average_style", "linear"]


class Weights:
    """The tensors of a state dict, each taken once and checked.

    Parameters
    ----------
    state : dict of str to tensor
    network : str
        What they should be, in words: "a StyleGAN".
    """

    def __init__(self, state: StateDict, network: str) -> None:
        self._left, self._network = dict(state), network

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, *shape: int | None) -> Tensor:
        """Return the tensor of a name.

        Parameters
        ----------
        name : str
        *shape : int or None
            Its sides; None stands for any.

        Raises
        ------
        InputError
            If there is none, or it has another shape.
        """
        if name not in self._left:
            raise InputError(f"{self._not_it()}: '{name}' is missing")
        found = self._left.pop(name)
        fits = zip(shape, found.shape, strict=False)
        if len(shape) != found.ndim or any(side not in (None, has) for side, has in fits):
            sides = "x".join("any" if side is None else str(side) for side in shape)
            raise InputError(
                f"{self._not_it()}: '{name}' is of shape {tuple(found.shape)}, not {sides}"
            )
        return found

    def take_rows(self, name: str, width: int) -> Tensor:
        """Return a tensor (…, width) as (n, width); an `InputError` as of `take`."""
        found = self._left.pop(name)
        if not found.ndim or found.shape[-1] != width:
            raise InputError(
                f"{self._not_it()}: '{name}' is of shape {tuple(found.shape)}, not (…, {width})"
            )
        return found.reshape(-1, width)

    def count(self, before: str, after: str) -> int:
        """Return how many names ``<before><number><after>`` there are, counted from 0."""
        number = 0
        while f"{before}{number}{after}" in self._left:
            number += 1
        return number

    def finish(self) -> None:
        """Raise `InputError` if a tensor was not taken."""
        if self._left:
            raise InputError(f"{self._not_it()}: it also has {some_keys(self._left)}")

    def _not_it(self) -> str:
        return f"the checkpoint is not {self._network} as expected"


def linear(
    weights: Weights, name: str, into: int, *, gain: float = 1, rate: float = 1
) -> nn.Linear:
    """Return a linear layer of equalised learning rate.

    Parameters
    ----------
    weights : Weights
    name : str
        Before ``.weight`` and ``.bias``.
    into : int
        Its inputs.
    gain : float
        Of its initial weights.
    rate : float
        The layer's own factor on the learning rate.
    """
    weight, bias = weights.take(f"{name}.weight", None, into), weights.take(f"{name}.bias", None)
    layer = nn.Linear(into, len(weight), device="meta")
    layer.weight = nn.Parameter(weight * (gain / math.sqrt(into) * rate), requires_grad=False)
    layer.bias = nn.Parameter(bias * rate, requires_grad=False)
    return layer


def average_style(weights: Weights, names: Sequence[str], width: int) -> Tensor | None:
    """Return the average style that a file may have, (n, width), of all layers (n = 1) or each.

    Parameters
    ----------
    weights : Weights
    names : sequence of str
        Under which it may be.
    width : int
        Dimensions of a style.

    Raises
    ------
    InputError
        If it is no average style.
    """
    named = next((name for name in names if name in weights), None)
    return None if named is None else weights.take_rows(named, width)


class MappingNetwork(nn.Module):
    """The mapping network: latents z to styles w.

    Parameters
    ----------
    layers : sequence of nn.Linear
    gain : float
        Of its activations.
    """

    def __init__(self, layers: list[nn.Linear], gain: float = 1) -> None:
        super().__init__()
        self.layers, self._gain = nn.ModuleList(layers), gain

    def forward(self, latents: Tensor) -> Tensor:
        """Return styles (B, W) of latents (B, Z), which are brought to unit length first."""
        x = latents * torch.rsqrt(latents.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = nn.functional.leaky_relu(layer(x), 0.2) * self._gain
        return x
