"""What a backbone is, and how to get one.

A backbone turns rows of images into activations and says beforehand of which shapes. A further
network is a further file; `opening` tells its checkpoints from others, `loading` reads them. One
that takes the image as it is needs no more than a `Trunk`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from ..store.spec import FeatureSpec, Fit, LayerSpec
from .builtin import BUILTIN
from .images import PREPROCESSING
from .levels import FULL
from .loading import Hints, LoadedUNet, NotTakenError, load_checkpoint
from .precision import Precision
from .trunk import TrunkBackbone
from .unet import UNetBackbone

__all__ = ["Backbone", "feature_spec", "load_backbone"]


class Backbone(Protocol):
    """A network whose activations are features."""

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers it returns, in feature order."""

    @property
    def row_shape(self) -> tuple[int, int]:
        """Height and width of the rows it takes."""

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
        """Return the activations (B, C, h, w), float32, of rows (B, 3, H, W) in [-1, 1]."""


def load_backbone(
    checkpoint: str | Path = BUILTIN,
    steps: Sequence[int] | None = None,
    blocks: Sequence[int] | None = None,
    *,
    backbone: str | None = None,
    head_channels: int | None = None,
    heads: int | None = None,
    attention_order: str | None = None,
    schedule: str | None = None,
    diffusion_steps: int | None = None,
    size: int | tuple[int, int] | None = None,
    inputs: bool | None = None,
    filters: bool | None = None,
    pixels: bool | None = None,
    precision: Precision = "float32",
    seed: int = 0,
    draws: int = 1,
    flip: bool = False,
    prompt: str | None = None,
    weights: str | None = None,
    device: str | torch.device | None = None,
) -> Backbone:
    """Load a network and make ready to record activations of its blocks.

    Parameters
    ----------
    checkpoint : path or str
        A guided-diffusion file (``.pt``), a diffusers folder, of RGB images or of latents; a MAE as
        published or as a transformers folder; a ResNet-50 of SwAV as published; a DINOv2 or DINOv3
        of transformers; or the id of a folder on the Hugging Face hub, ``organisation/name`` or
        ``organisation/name@revision``. By default the one that comes with dseg.
    steps : sequence of int, optional
        Timesteps, in feature order; by default those of the checkpoint's card, else 50, 150, 250
        of 1000. Not of networks that take no noise.
    blocks : sequence of int, optional
        Blocks, of a U-Net's decoder, else of the network; by default those of the card, else of a
        U-Net 5, 6, 7, 8, 12 or, of another than the published one, those in the same places (of
        latents: one at each size), of a MAE the last 12, of a DINO the last 4, of a ConvNeXt the
        last of each stage, of a ResNet every second of each stage.
    backbone : str, optional
        Which network the checkpoint must hold, see `opening.KINDS`.
    head_channels, heads, attention_order, schedule, diffusion_steps : optional
        What a ``.pt`` cannot show: channels of an attention head (64) or a fixed number of heads,
        the order of qkv ("legacy", unless told, or "new"), the noise schedule ("linear", unless
        told, or "cosine") and its timesteps (1000). A diffusers folder states its own.
    size : int or (height, width), optional
        Of a row, pixels; by default that of the card, else the one it was trained on.
    inputs : bool, optional
        Record the inputs of the blocks instead of their outputs; by default as published: of a
        ResNet the inputs.
    filters : bool, optional
        Add a layer of classical filters (see `filters`). By default as the checkpoint's card says,
        else not.
    pixels : bool, optional
        Add a layer of five channels: colour, in [-1, 1], and place, y and x from -1 to 1 over the
        row. By default as the checkpoint's card says, else not.
    precision : {"float32", "float16", "bfloat16"}
        In which the network computes. The halves are faster on GPUs, and other features.
    seed : int
        Of the noise. Not of networks that take none.
    draws : int
        Average the activations over so many draws of the noise.
    flip : bool
        Average the activations with those of the mirrored image.
    prompt : str, optional
        Of a U-Net that listens to a text: the empty prompt's embedding as a spec's ``backbone``
        holds it. By default the checkpoint's text encoder makes it.
    weights : str, optional
        Which of several sets of weights in a checkpoint to take, such as "model" or "ema" of a
        file, "unet" or "unet_ema" of a folder. By default the averaged ones.
    device : str or torch.device, optional
        By default CUDA, else MPS, else the CPU.

    Returns
    -------
    Backbone

    Raises
    ------
    InputError
        If the checkpoint is missing or something else, or does not have what is asked for; a
        `NotTakenError` if the network takes no such thing.
    """
    hints = Hints(head_channels, heads, attention_order, schedule, diffusion_steps, prompt, weights)
    loaded = load_checkpoint(checkpoint, hints, backbone)
    if isinstance(loaded, LoadedUNet):
        return UNetBackbone(
            loaded,
            steps,
            blocks,
            size=size,
            inputs=bool(inputs),
            filters=filters,
            pixels=pixels,
            precision=precision,
            seed=seed,
            draws=draws,
            flip=flip,
            device=device,
        )
    if steps or draws > 1 or seed:
        what = f"{draws} draws of the noise are" if draws > 1 else f"a seed of noise, {seed}, is"
        what = f"steps {', '.join(map(str, steps))} are" if steps else what
        words = f"{what} asked for, but this network takes no noise: leave that out"
        raise NotTakenError(words, ("steps", "draws", "seed"))
    return TrunkBackbone(
        loaded,
        blocks,
        size=size,
        inputs=inputs,
        filters=filters,
        pixels=pixels,
        precision=precision,
        flip=flip,
        device=device,
    )


def feature_spec(backbone: Backbone, fit: Fit, overlap: int = 0, white: int = FULL) -> FeatureSpec:
    """Return the recipe of the features that a backbone makes.

    Parameters
    ----------
    backbone : Backbone
    fit : {"squash", "pad", "tile"}
        How images come to the row shape.
    overlap : int
        Of neighbouring tiles, pixels; counts only for "tile".
    white : int
        The value of images of 16 bits a channel that is white.
    """
    told = {} if white == FULL else {"white": white}  # so that hashes of old stay what they are
    return FeatureSpec(
        backbone=backbone.describe(),
        source=backbone.source,
        row_shape=backbone.row_shape,
        fit=fit,
        overlap=overlap if fit == "tile" else 0,
        noise_seed=backbone.seed,
        layers=backbone.layers,
        preprocessing=PREPROCESSING | told,
    )
