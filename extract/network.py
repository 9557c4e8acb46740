"""What every backbone of one network does around it: rows checked, mirrored, extras beside."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.spec import LayerSpec
from .averaging import with_mirrored
from .card import Card
from .devices import choose_device
from .extras import Extras
from .precision import Precision, at_precision
from .rows import as_rows
from .weight_sets import Choice

__all__ = ["Loaded", "NetworkBackbone"]


class Loaded(Protocol):
    """What is known of any network that was loaded."""

    @property
    def kind(self) -> str:
        """Of `opening.KINDS`."""

    @property
    def source(self) -> str:
        """Where its checkpoint came from."""

    @property
    def sha256(self) -> str:
        """Of its checkpoint."""

    @property
    def architecture(self) -> Mapping[str, Any]:
        """Plain JSON values."""

    @property
    def card(self) -> Card:
        """What its maker asks for."""

    @property
    def weights(self) -> Choice:
        """Which of several sets of weights these are."""


class NetworkBackbone(ABC):
    """A backbone of one network; a subclass computes that network's activations.

    Parameters
    ----------
    loaded : Loaded
    activations : sequence of LayerSpec
        The layers that `_activations` returns.
    row_shape : tuple of int
        Height and width of a row.
    inputs : bool
        Whether the blocks' inputs are recorded, not their outputs.
    filters, pixels : bool, optional
        Add a layer of classical filters, and a last one of colour and place; by default as the
        card says, else no.
    precision : {"float32", "float16", "bfloat16"}
        In which the network computes, see `precision`; activations come out as float32 anyhow.
    flip : bool
        Average with the mirrored image's activations.
    device : torch.device or str, optional
        By default CUDA, else MPS, else the CPU.

    Raises
    ------
    InputError
        If there is no such device.
    """

    def __init__(
        self,
        loaded: Loaded,
        activations: Sequence[LayerSpec],
        *,
        row_shape: tuple[int, int],
        inputs: bool,
        filters: bool | None,
        pixels: bool | None,
        precision: Precision,
        flip: bool,
        device: str | torch.device | None,
    ) -> None:
        card = loaded.card
        self.source, self.row_shape, self.device = loaded.source, row_shape, choose_device(device)
        self._extras = Extras(
            row_shape,
            filters=card.filters if filters is None else filters,
            pixels=card.pixels if pixels is None else pixels,
            device=self.device,
        )
        self.layers = (*activations, *self._extras.layers)
        self._inputs, self._precision, self._flip = inputs, precision, flip
        self._description: dict[str, Any] = {
            "kind": loaded.kind,
            "sha256": loaded.sha256,
            "architecture": dict(loaded.architecture),
            "record": "inputs" if inputs else "outputs",
        }
        self.weights = loaded.weights.words
        if loaded.weights.name is not None:
            self._description["weights"] = loaded.weights.name
        if precision != "float32":  # which features of old do not state
            self._description["precision"] = precision
        if flip:
            self._description["flip"] = True

    def describe(self) -> dict[str, Any]:
        """Return what of the network changes its activations, in plain JSON values."""
        return dict(self._description)

    @torch.inference_mode()
    def __call__(self, rows: Tensor | NDArray[Any]) -> list[Tensor]:
        """Return the activations of some rows.

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
            If the rows are not of the row shape.
        """
        x = as_rows(rows, self.row_shape, self.device)
        found = with_mirrored(self._activations, x) if self._flip else self._activations(x)
        with at_precision("float32", self.device):
            return found + self._extras(x)

    @abstractmethod
    def _activations(self, x: Tensor) -> list[Tensor]:
        """Return the network's own layers (B, C, h, w), float32, of rows (B, 3, H, W)."""
