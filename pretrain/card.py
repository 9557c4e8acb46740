"""What a trained network's card, ``dseg.json``, tells of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from .. import __version__
from ..extract.unet import recommended_layers
from ..store.errors import InputError
from .dataset import Dataset
from .images import Augmentation
from .start import Start
from .training import Training

__all__ = ["card_of"]


def card_of(
    start: Start,
    dataset: Dataset,
    held_out: int,
    augmentation: Augmentation,
    training: Training,
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
    """
    device, world = training.here.device, training.here.world
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "made_by": f"dseg {__version__}, torch {torch.__version__}",
        **_layers(start),
        "size": start.size,
        "images": len(dataset.files) - held_out,
        "held_out_images": held_out,
        "images_sha256": dataset.sha256,
        **start.facts,
        "device": f"{name}, {world} processes" if world > 1 else name,
        "precision": str(training.precision).removeprefix("torch."),
        "augmentation": asdict(augmentation),
        "recipe": asdict(training.recipe),
    }


def _layers(start: Start) -> Mapping[str, Any]:
    """Return the recommended steps and blocks; none of a network too shallow to have any."""
    try:
        return recommended_layers(start.network, len(start.scheduler.betas))
    except InputError:
        return {}
