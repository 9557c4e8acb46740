"""How an example is varied each time it is seen: part, scale, side, colour."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from .examples import UNLABELLED, Loaded, Truth, nearest

__all__ = ["Augmentation", "vary"]

Box = tuple[int, int, int, int]
"""Top, left, height, width."""


@dataclass(frozen=True)
class Augmentation:
    """How an example is varied.

    Parameters
    ----------
    flip : bool
        Mirror every other one, left to right.
    zoom : float
        At most by so much it is enlarged or shrunk, evenly on a logarithmic scale; 1: not at all.
    colour : float
        Brightness, contrast and saturation are each multiplied by 1 ± so much at most.
    """

    flip: bool = True
    zoom: float = 1.4
    colour: float = 0.3


def vary(
    loaded: Loaded,
    crop: tuple[int, int],
    augmentation: Augmentation,
    n_classes: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a part of an example at a fixed size.

    What is smaller lies in the upper left corner; beyond it edge pixels are repeated, which do not
    count.

    Parameters
    ----------
    loaded : Loaded
    crop : tuple of int
        Height and width of what is returned.
    augmentation : Augmentation
    n_classes : int
    rng : numpy.random.Generator
        What is drawn from it, and in which order, depends on nothing else.

    Returns
    -------
    image : tensor of shape (3, *crop), float32, in [0, 1]
    target : tensor of shape (C, *crop), float32
        Probabilities; each pixel's sum to 1 where its weight is above 0.
    weight : tensor of shape crop, float32
        How much a pixel counts, in [0, 1].
    """
    scale = math.exp(rng.uniform(-1, 1) * math.log(augmentation.zoom))
    box, size = _part(loaded.pixels.shape[:2], crop, scale, rng.random(2))
    jitter = 1 + augmentation.colour * rng.uniform(-1, 1, 3)
    mirrored = bool(rng.random() < 0.5) and augmentation.flip
    image = _jittered(_pixels(loaded.pixels, box, size), *jitter.tolist())
    target, weight = _target(loaded.truth, box, size, n_classes)
    if mirrored:
        image, target, weight = (part.flip(-1) for part in (image, target, weight))
    beyond = (0, crop[1] - size[1], 0, crop[0] - size[0])
    image = nn.functional.pad(image[None], beyond, mode="replicate")[0]
    return image, nn.functional.pad(target, beyond), nn.functional.pad(weight, beyond)


def _part(
    size: tuple[int, ...], crop: tuple[int, int], scale: float, where: NDArray[np.float64]
) -> tuple[Box, tuple[int, int]]:
    """Return which part of an example is shown, and at which height and width."""
    sides = [
        min(length, max(1, round(side / scale))) for length, side in zip(size, crop, strict=True)
    ]
    starts = [
        int(at * (length - side + 1)) for at, length, side in zip(where, size, sides, strict=True)
    ]
    height, width = (
        min(limit, max(1, round(side * scale))) for limit, side in zip(crop, sides, strict=True)
    )
    return (starts[0], starts[1], sides[0], sides[1]), (height, width)


def _pixels(pixels: NDArray[np.uint8], box: Box, size: tuple[int, int]) -> Tensor:
    """Return a part of an image at a size: (3, *size), float32, in [0, 1]."""
    top, left, height, width = box
    part = pixels[top : top + height, left : left + width]
    if (height, width) != size:
        resized = Image.fromarray(part).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        part = np.asarray(resized)
    return torch.from_numpy(part.copy()).permute(2, 0, 1).float() / 255


def _jittered(image: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    image = image * brightness
    mean = image.mean()
    image = mean + contrast * (image - mean)
    grey = image.mean(0, keepdim=True)
    return (grey + saturation * (image - grey)).clamp(0, 1)


def _target(truth: Truth, box: Box, size: tuple[int, int], n_classes: int) -> tuple[Tensor, Tensor]:
    """Return a part of a target and of its weights at a size: soft ones bilinearly."""
    top, left, height, width = box
    rows, columns = slice(top, top + height), slice(left, left + width)
    certainty = None if truth.certainty is None else truth.certainty[rows, columns]
    if truth.probabilities is not None:
        soft = _bilinear(truth.probabilities[:, rows, columns], size)
        target = soft / soft.sum(0, keepdim=True).clamp_min(1e-6)
        weight = torch.ones(size)
    else:
        assert truth.ids is not None
        ids = torch.from_numpy(nearest(truth.ids[rows, columns], size).astype(np.int64))
        has_class = ids != UNLABELLED
        one_hot = nn.functional.one_hot(ids.where(has_class, 0), n_classes)
        target = one_hot.permute(2, 0, 1).float()  # (h, w, C) -> (C, h, w)
        weight = has_class.float()
    if certainty is not None:
        weight = weight * _bilinear(certainty[None], size)[0] / 255
    return target, weight


def _bilinear(values: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """(K, h, w) → (K, *size), float32."""
    maps = torch.from_numpy(np.ascontiguousarray(values))[None].float()
    if maps.shape[2:] == size:
        return maps[0]
    return nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False)[0]
