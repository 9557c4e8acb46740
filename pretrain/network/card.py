"""What a trained network's card, ``dseg.json``, tells of it."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch

from ... import __version__
from ...extract.checkpoints.card import Card
from ...extract.images.reading_spec import ReadingSpec
from ...extract.networks.diffusion.unet import recommended_layers
from ...store.errors import InputError
from ..data.dataset import Dataset
from ..data.images import Augmentation
from ..train.step import Training
from .start import Start

__all__ = ["card_of"]


def card_of(
    start: Start,
    dataset: Dataset,
    held_out: int,
    augmentation: Augmentation,
    training: Training,
    reading: ReadingSpec,
) -> dict[str, Any]:
    """Return what of a card does not change while the network is trained, plain JSON values.

    Parameters
    ----------
    start : Start
    dataset : Dataset
    held_out : int
        How many of its images are not trained on.
    augmentation : Augmentation
    training : Training
    reading : ReadingSpec
        How the images are read.
    """
    device, world = training.here.device, training.here.world
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "made_by": f"dseg {__version__}, torch {torch.__version__}",
        **_recommended(start),
        "images": len(dataset.files) - held_out,
        "held_out_images": held_out,
        "images_sha256": dataset.sha256,
        **({"reading": reading.to_dict()} if reading.to_dict() else {}),
        **start.facts,
        "device": f"{name}, {world} processes" if world > 1 else name,
        "precision": str(training.precision).removeprefix("torch."),
        "augmentation": asdict(augmentation),
        "recipe": asdict(training.recipe),
    }


def _recommended(start: Start) -> dict[str, Any]:
    """Return steps, blocks, extras and size: those of the card that the run began from, if any.

    Where it began from a network without a card, those of networks that dseg trains; of one too
    shallow to have any, no steps and blocks.
    """
    card, timesteps = start.card, len(start.scheduler.betas)
    recommended: dict[str, Any] = {}
    with suppress(InputError):
        recommended |= recommended_layers(start.network, timesteps)
    if card.steps is not None and max(card.steps) < timesteps:
        recommended["steps"] = list(card.steps)
    if card.blocks is not None:
        recommended["blocks"] = list(card.blocks)
    if card != Card():
        recommended |= {"filters": card.filters, "pixels": card.pixels}
    return {**recommended, "size": _size(start)}


def _size(start: Start) -> int | list[int]:
    """Return what the network should see of an image: what it began from did, or was trained on.

    A card may ask for more than its network was trained on. That stays so, unless the network is
    now trained on less.
    """
    side, card, before = start.size, start.card.size, start.trained_size
    if card is None or before is None or side < max(before):
        return side
    height, width = (max(side, asked) for asked in card)
    return height if height == width else [height, width]
