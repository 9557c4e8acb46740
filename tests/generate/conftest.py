"""Small untrained diffusion models to draw with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


def make_folder(folder: Path, scheduler: dict[str, Any], **different: Any) -> Path:
    """Save a U-Net of two levels for 16-pixel images, and its scheduler, as diffusers does."""
    from diffusers import UNet2DModel

    torch.manual_seed(3)
    config: dict[str, Any] = {
        "sample_size": 16,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
        "norm_num_groups": 4,
    }
    UNet2DModel(**config | different).save_pretrained(folder / "unet")
    (folder / "scheduler").mkdir()
    plain = {
        "_class_name": "DDPMScheduler",
        "beta_schedule": "linear",
        "beta_start": 0.001,
        "beta_end": 0.2,
        "num_train_timesteps": 100,
        **scheduler,
    }
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(plain))
    return folder


@pytest.fixture(scope="session")
def diffusers_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that saves a model; what differs of its scheduler, then of its U-Net."""

    def make(scheduler: dict[str, Any] | None = None, **different: Any) -> Path:
        return make_folder(tmp_path_factory.mktemp("model"), scheduler or {}, **different)

    return make


@pytest.fixture(scope="session")
def model(diffusers_model: Callable[..., Path]) -> Path:
    return diffusers_model()
