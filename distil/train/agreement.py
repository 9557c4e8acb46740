"""How far a student's masks agree with the targets of examples that it does not learn from."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...classify.evaluation.metrics import Confusion
from ..data.examples import UNLABELLED, Example, Truth

__all__ = ["agreement"]


@torch.no_grad()
def agreement(network: nn.Module, examples: Sequence[Example], n_classes: int) -> float:
    """Return the mIoU of a network's masks against targets, at the size at which it sees images.

    Against a teacher's soft label its likeliest class counts.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    examples : sequence of Example
    n_classes : int

    Returns
    -------
    float
        NaN if no pixel has a class.
    """
    device = next(network.parameters()).device
    counts = Confusion(n_classes, UNLABELLED)
    for example in examples:
        loaded = example.load()
        pixels = torch.tensor(loaded.pixels, device=device)
        x = pixels.permute(2, 0, 1)[None].float() / 255
        mask = network(x)[0].argmax(0).cpu().numpy().astype(np.uint16)
        counts.add(mask, _ids(loaded.truth), example.image.name)
    return counts.mean_iou()


def _ids(truth: Truth) -> NDArray[np.uint16]:
    if truth.probabilities is not None:
        likeliest: NDArray[np.uint16] = truth.probabilities.argmax(0).astype(np.uint16)
        return likeliest
    assert truth.ids is not None
    return truth.ids
