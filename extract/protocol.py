"""What a backbone is: it turns images into activations, and says beforehand of which shapes."""

from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.spec import LayerSpec

__all__ = ["Backbone"]


class Backbone(Protocol):
    """A network whose activations are features."""

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers it returns, in feature order."""

    @property
    def row_shape(self) -> tuple[int, int]:
        """Height and width of its input."""

    @property
    def channels(self) -> int:
        """Of the images it sees: 3, RGB, unless it was trained on others."""

    @property
    def source(self) -> str:
        """Where its checkpoint came from."""

    @property
    def weights(self) -> str | None:
        """Which of several sets of weights these are, in words; None where there is one only."""

    @property
    def seed(self) -> int:
        """Seed of the noise."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    def describe(self) -> dict[str, Any]:
        """Return what of it changes its activations, in plain JSON values."""

    def __call__(self, rows: Tensor | NDArray[Any], /) -> list[Tensor]:
        """Return the activations (B, C, h, w), float32, of input in [-1, 1].

        The input is (B, C, H, W) with `channels`.

        A generator's input is latents (B, Z), and `describe` has the entry "latent".
        """
