"""How a checkpoint is to be read, and what is to be recorded of its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from ...store.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["BackboneOptions", "CheckpointOptions", "Precision", "UnsupportedOptionError"]

Precision = Literal["float32", "float16", "bfloat16"]


class UnsupportedOptionError(InputError):
    """An option was given that the network does not support.

    Attributes
    ----------
    names : tuple of str
        Of the fields of `BackboneOptions`.
    """

    def __init__(self, words: str, names: Sequence[str]) -> None:
        super().__init__(words)
        self.names = tuple(names)


@dataclass(frozen=True)
class CheckpointOptions:
    """What a checkpoint may not show; None stands for its own value, or the default.

    Parameters
    ----------
    head_channels, heads : int, optional
        Of a ``.pt`` or a published MAE: channels of an attention head (64; of MONAI 8), or a fixed
        number of heads.
    attention_order : {"legacy", "new"}, optional
        Of a ``.pt``: the order of query, key and value ("legacy").
    schedule : {"linear", "cosine"}, optional
        The noise schedule ("linear"), of a ``.pt`` or a diffusers folder that states none.
    diffusion_steps : int, optional
        Timesteps T of that schedule (1000).
    prompt : str, optional
        The empty prompt's embedding, as a spec's ``backbone`` holds it; by default the
        checkpoint's text encoder computes it.
    weights : str, optional
        Which of several sets of weights, such as "model" or "ema" of a file, "unet" or "unet_ema"
        of a folder; by default the averaged one.
    class_number : int, optional
        Of a class-conditional network: the class of all images.
    norm_groups : int, optional
        Of MONAI's: groups of its normalisation (32).
    fetch : bool
        Whether a checkpoint on the Hugging Face hub may be downloaded: not if a file names it.
    """

    head_channels: int | None = None
    heads: int | None = None
    attention_order: str | None = None
    schedule: str | None = None
    diffusion_steps: int | None = None
    prompt: str | None = None
    weights: str | None = None
    class_number: int | None = None
    norm_groups: int | None = None
    fetch: bool = True

    def refuse(self, names: Sequence[str], why: str) -> None:
        """Raise `UnsupportedOptionError` if one of the named options was given."""
        default = type(self)()
        given = [name for name in names if getattr(self, name) != getattr(default, name)]
        if given:
            words = f"{', '.join(given)} cannot be set for this checkpoint: {why}"
            raise UnsupportedOptionError(words, given)

    def refuse_all_but(self, names: Sequence[str], why: str) -> None:
        """Raise `UnsupportedOptionError` if an option of reading but those was given.

        Which set of weights is chosen, and whether it may be fetched, when a checkpoint is opened,
        before its network is known.
        """
        known = (field.name for field in fields(CheckpointOptions))
        self.refuse([name for name in known if name not in (*names, "weights", "fetch")], why)


@dataclass(frozen=True)
class BackboneOptions(CheckpointOptions):
    """How a checkpoint becomes a backbone: how it is read, and what is recorded of it.

    Parameters
    ----------
    steps : sequence of int, optional
        Timesteps, in feature order; by default those of the checkpoint's card, else 50, 150, 250
        of 1000. Not of networks that take no noise.
    blocks : sequence of int, optional
        Blocks, of a U-Net's decoder, else of the network; by default those of the card, else of a
        U-Net 5, 6, 7, 8, 12 or, of another than the published one, those in the same positions (of
        latents: one at each size), of a MAE the last 12, of a DINO the last 4, of a ConvNeXt the
        last of each stage, of a ResNet every second of each stage.
    backbone : str, optional
        Which network the checkpoint must hold, of `registry.KINDS`; or the factory of a network of
        one's own, see `own`.
    size : int or (height, width), optional
        Of the network's input, pixels; by default that of the card, else the one it was trained on.
    inputs : bool, optional
        Record the inputs of the blocks instead of their outputs; by default as published: of a
        ResNet the inputs.
    filters : bool, optional
        Add a layer of classical filters, see `layers.filters`; by default as the card says, else
        not.
    pixels : bool, optional
        Add a layer of five channels: colour, in [-1, 1], and position, y and x from -1 to 1; by
        default as the card says, else not.
    precision : {"float32", "float16", "bfloat16"}
        In which the network computes. The halves are faster on GPUs, and other features.
    seed : int
        Of the noise. Not of networks that take none.
    draws : int
        Average the activations over so many draws of the noise.
    flip : bool
        Average the activations with those of the mirrored image.
    device : str or torch.device, optional
        By default CUDA, else MPS, else the CPU.
    """

    steps: Sequence[int] | None = None
    blocks: Sequence[int] | None = None
    backbone: str | None = None
    size: int | tuple[int, int] | None = None
    inputs: bool | None = None
    filters: bool | None = None
    pixels: bool | None = None
    precision: Precision = "float32"
    seed: int = 0
    draws: int = 1
    flip: bool = False
    device: str | torch.device | None = None
