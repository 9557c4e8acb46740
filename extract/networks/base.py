"""What every network has in common: what is known of it when loaded, and the pass around it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ...store.errors import InputError
from ...store.spec import LayerSpec
from ..checkpoints.card import Card
from ..checkpoints.weight_sets import Choice
from ..layers.averaging import with_mirrored
from ..layers.handcrafted import HandcraftedLayers
from .devices import choose_device
from .options import BackboneOptions
from .precision import at_precision

__all__ = ["LoadedNetwork", "NetworkBackbone"]


@dataclass(frozen=True, kw_only=True)
class LoadedNetwork(ABC):
    """A whole network as loaded, with what is known of it.

    Parameters
    ----------
    kind : str
        Of `registry.KINDS`.
    source : str
        Path of the checkpoint, ``builtin:name``, or ``organisation/name@commit``.
    sha256 : str
        Of the files that count.
    architecture : mapping
        Plain JSON values.
    size : tuple of int, optional
        Height and width of images that it was trained on, as far as known.
    card : Card
        What the checkpoint's maker recommends.
    weights : Choice
        Which of several sets of weights these are.
    """

    kind: str
    source: str
    sha256: str
    architecture: Mapping[str, Any]
    size: tuple[int, int] | None
    card: Card = field(default_factory=Card)
    weights: Choice = field(default_factory=Choice)

    @abstractmethod
    def backbone(self, options: BackboneOptions) -> "NetworkBackbone":
        """Return the backbone that records what the options say.

        The network is taken over and moved to its device: load it again to use it elsewhere.

        Raises
        ------
        InputError
            If the network lacks a block or the schedule a timestep, one is given twice, the size
            does not fit the network, or there is no such device; an `UnsupportedOptionError` if
            the network does not support an option.
        """


class NetworkBackbone(ABC):
    """A backbone of one network; a subclass computes that network's activations.

    Parameters
    ----------
    loaded : LoadedNetwork
    options : BackboneOptions
    activations : sequence of LayerSpec
        The layers that `_activations` returns.
    row_shape : tuple of int
        Height and width of the network's input.
    inputs : bool
        Whether the blocks' inputs are recorded, not their outputs.

    Raises
    ------
    InputError
        If there is no such device.
    """

    def __init__(
        self,
        loaded: LoadedNetwork,
        options: BackboneOptions,
        activations: Sequence[LayerSpec],
        row_shape: tuple[int, int],
        inputs: bool,
    ) -> None:
        self.source, self.row_shape = loaded.source, row_shape
        self.seed, self.device = options.seed, choose_device(options.device)
        card, self.reading = loaded.card, loaded.card.reading
        self._handcrafted = HandcraftedLayers(
            row_shape,
            filters=card.filters if options.filters is None else options.filters,
            pixels=card.pixels if options.pixels is None else options.pixels,
            device=self.device,
        )
        self.layers = (*activations, *self._handcrafted.layers)
        self._inputs, self._precision, self._flip = inputs, options.precision, options.flip
        self._description: dict[str, Any] = {
            "kind": loaded.kind,
            "sha256": loaded.sha256,
            "architecture": dict(loaded.architecture),
            "record": "inputs" if inputs else "outputs",
        }
        self.weights = loaded.weights.words
        if loaded.weights.name is not None:
            self._description["weights"] = loaded.weights.name
        # stated only where they differ from what old specs, which do not state them, had
        if options.precision != "float32":
            self._description["precision"] = options.precision
        if options.flip:
            self._description["flip"] = True

    def describe(self) -> dict[str, Any]:
        """Return what of the network changes its activations, in plain JSON values."""
        return dict(self._description)

    @torch.inference_mode()
    def __call__(self, rows: Tensor | NDArray[Any]) -> list[Tensor]:
        """Return the activations of some images.

        Parameters
        ----------
        rows : tensor or array of shape (B, 3, H, W), float32, in [-1, 1]

        Returns
        -------
        list of tensors of shape (B, C, h, w), float32
            In the order of ``layers``; on ``device``, of any memory format.

        Raises
        ------
        InputError
            If the input is not of ``row_shape``.
        """
        x = _checked(rows, self.row_shape, self.device)
        found = with_mirrored(self._activations, x) if self._flip else self._activations(x)
        with at_precision("float32", self.device):
            return found + self._handcrafted(x)

    @abstractmethod
    def _activations(self, x: Tensor) -> list[Tensor]:
        """Return the network's own layers (B, C, h, w), float32, of inputs (B, 3, H, W)."""


def _checked(
    rows: Tensor | NDArray[Any], row_shape: tuple[int, int], device: torch.device
) -> Tensor:
    """Return network input as a float32 tensor (B, 3, H, W) on a device."""
    x = torch.as_tensor(rows, dtype=torch.float32, device=device)
    if x.ndim != 4 or tuple(x.shape[1:]) != (3, *row_shape):
        height, width = row_shape
        raise InputError(
            f"got input of shape {tuple(x.shape)}, but this backbone takes "
            f"(any number, 3, {height}, {width})"
        )
    return x
