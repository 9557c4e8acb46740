"""Small images and small networks to train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dseg.pretrain.train.processes import Processes
from PIL import Image

HERE = Processes(0, 1, torch.device("cpu"))


def make_unet(seed: int = 0, **config: Any) -> Any:
    """A U-Net of two levels with random weights, 8-pixel images."""
    from diffusers import UNet2DModel

    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
        "norm_num_groups": 4,
    }
    return UNet2DModel(**{**settings, **config})


@pytest.fixture
def unet() -> Callable[..., Any]:
    return make_unet


@pytest.fixture
def here() -> Processes:
    return HERE


def picture(number: int, height: int = 8, width: int = 8) -> np.ndarray:
    """A ramp of one colour over another, the same for the same number."""
    rng = np.random.default_rng(number)
    first, second = rng.integers(0, 256, (2, 3))
    ramp = np.linspace(0, 1, width)[None, :, None]
    return np.broadcast_to((1 - ramp) * first + ramp * second, (height, width, 3)).astype(np.uint8)


@pytest.fixture(name="picture")
def picture_fixture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of several sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(10):
        Image.fromarray(picture(i, 8 + i, 16 - i)).save(folder / f"{i}.png")
    return folder
