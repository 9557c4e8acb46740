"""Small images with targets, and a small network in a student's place."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.classify.labels.label_maps import read_label_map
from dseg.distil.data.examples import Example, ImageFile, LabelTarget
from dseg.distil.student.view import View
from PIL import Image
from torch import nn

SIZES = ((40, 56), (32, 32), (64, 48), (33, 47))
N_CLASSES = 3
WHOLE = View(32)


@pytest.fixture
def pictures(tmp_path) -> list[tuple[Path, Path, tuple[int, int]]]:
    """Images of noise in colours by class, their label maps (255: no class) and their sizes."""
    rng, found = np.random.default_rng(0), []
    for number, (height, width) in enumerate(SIZES):
        label = rng.integers(0, N_CLASSES, (height // 8 + 1, width // 8 + 1))
        label = label.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8)
        noise = rng.integers(0, 60, (height, width, 3))
        pixels = (noise + 60 * label[..., None]).astype(np.uint8)
        label[:3] = 255
        image, map_ = tmp_path / f"{number}.png", tmp_path / f"label-{number}.png"
        Image.fromarray(pixels).save(image)
        Image.fromarray(label).save(map_)
        found.append((image, map_, (height, width)))
    return found


@pytest.fixture
def examples(pictures) -> Callable[..., list[Example]]:
    """Return a function (view) that makes examples of the pictures."""

    def make(view: View = WHOLE) -> list[Example]:
        return [
            Example(ImageFile(image), geometry, tile, target)
            for image, label, size in pictures
            for geometry in [view.geometry(size)]
            for target in [LabelTarget(partial(read_label_map, label), 255)]
            for tile in range(len(geometry.offsets))
        ]

    return make


class Tiny(nn.Module):
    """As small as a network with batch normalisation and dropout can be."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 8, 3, padding=1)
        self.rest = nn.Sequential(
            nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.3), nn.Conv2d(8, N_CLASSES, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.trunk(x))


@pytest.fixture
def tiny() -> Callable[[int], nn.Module]:
    def make(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return Tiny()

    return make
