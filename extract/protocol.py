"""What a backbone is: it turns images into activations, and says beforehand of which shapes."""

from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.spec import LayerSpec
from .images.reading_spec import ReadingSpec

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
    def reading(self) -> ReadingSpec | None:
        """How the images were read that it was trained on, if its checkpoint says so."""

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
        """Return the activations (B, C, h, w), float32, of input (B, 3, H, W) in [-1, 1].

        A generator's input is latents (B, Z), and `describe` has the entry "latent".
        """
