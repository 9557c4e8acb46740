"""What a backbone is, and how to get one.

A backbone turns images into activations and says beforehand of which shapes. The way to one is
straight: `checkpoints.opening` opens a checkpoint, `registry` finds its network, the network loads
it and chooses layers and size. `from_spec` goes the same way with the options of a feature spec.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.spec import FeatureSpec, Fit, LayerSpec
from .checkpoints.builtin import BUILTIN
from .images.levels import FULL
from .images.network_input import PREPROCESSING
from .networks.options import BackboneOptions
from .registry import load_network

__all__ = ["Backbone", "feature_spec", "load_backbone", "open_backbone"]


class Backbone(Protocol):
    """A network whose activations are features."""

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers it returns, in feature order."""

    @property
    def row_shape(self) -> tuple[int, int]:
        """Height and width of its input."""

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
        """Return the activations (B, C, h, w), float32, of input (B, 3, H, W) in [-1, 1]."""


def open_backbone(checkpoint: str | Path, options: BackboneOptions) -> Backbone:
    """Load a network and make ready to record activations of its blocks.

    Parameters
    ----------
    checkpoint : path or str
        A guided-diffusion file (``.pt``), a diffusers folder, of RGB images or of latents; a MAE as
        published or as a transformers folder; a ResNet-50 of SwAV as published; a DINOv2 or DINOv3
        of transformers; or the id of a folder on the Hugging Face hub, ``organisation/name`` or
        ``organisation/name@revision``.
    options : BackboneOptions

    Raises
    ------
    InputError
        If the checkpoint is missing, is something else, or lacks what the options request; an
        `UnsupportedOptionError` if the network does not support an option.
    """
    return load_network(checkpoint, options, options.backbone).backbone(options)


def load_backbone(
    checkpoint: str | Path = BUILTIN,
    steps: Sequence[int] | None = None,
    blocks: Sequence[int] | None = None,
    **options: Any,
) -> Backbone:
    """Load a network and make ready to record activations of its blocks.

    Parameters
    ----------
    checkpoint : path or str
        See `open_backbone`; by default the one that comes with dseg.
    steps, blocks : sequence of int, optional
    **options
        The other fields of `networks.options.BackboneOptions`, such as ``size=256``.

    Returns
    -------
    Backbone

    Raises
    ------
    InputError
        See `open_backbone`.
    """
    return open_backbone(checkpoint, BackboneOptions(steps=steps, blocks=blocks, **options))


def feature_spec(backbone: Backbone, fit: Fit, overlap: int = 0, white: int = FULL) -> FeatureSpec:
    """Return the spec of the features that a backbone makes.

    Parameters
    ----------
    backbone : Backbone
    fit : {"squash", "pad", "tile"}
        How images are brought to the input's shape.
    overlap : int
        Of neighbouring tiles, pixels; counts only for "tile".
    white : int
        The value of images of 16 bits a channel that is white.
    """
    stated = {} if white == FULL else {"white": white}  # hashes of old specs stay as they are
    return FeatureSpec(
        backbone=backbone.describe(),
        source=backbone.source,
        row_shape=backbone.row_shape,
        fit=fit,
        overlap=overlap if fit == "tile" else 0,
        noise_seed=backbone.seed,
        layers=backbone.layers,
        preprocessing=PREPROCESSING | stated,
    )
