"""A trained network on disk: a diffusers pipeline folder with a card."""

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..extract.diffusers_folder import CARD
from ..extract.noise import NoiseSchedule
from ..store.folders import replace_folder

__all__ = ["scheduler_of", "write_network"]


def scheduler_of(schedule: NoiseSchedule, *, learned_variance: bool = False) -> Any:
    """Return diffusers' scheduler of a noise schedule.

    Parameters
    ----------
    schedule : NoiseSchedule
    learned_variance : bool
        Whether the network also gives variances.

    Returns
    -------
    diffusers.DDPMScheduler
    """
    from diffusers import DDPMScheduler

    known, steps = schedule.description, schedule.timesteps
    names = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
    betas: dict[str, Any]
    if known["name"] in names:
        scale = 1000 / steps
        betas = {
            "beta_schedule": names[known["name"]],
            "beta_start": known.get("start", scale * 1e-4),
            "beta_end": known.get("end", scale * 0.02),
        }
    else:
        betas = {"trained_betas": schedule.betas.tolist()}
    variance = "learned_range" if learned_variance else "fixed_small"
    return DDPMScheduler(num_train_timesteps=steps, variance_type=variance, **betas)


def write_network(
    network: Any,
    scheduler: Any,
    folder: Path,
    card: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a network as a folder that diffusers' ``DDPMPipeline`` and `load_backbone` open.

    Parameters
    ----------
    network : diffusers.UNet2DModel
    scheduler : diffusers.DDPMScheduler
    folder : Path
        May hold an older network, whose parts are replaced one by one, each whole.
    card : mapping
        Plain JSON values for ``dseg.json``.
    dtype : torch.dtype
        Of the weights in the file.
    """
    from diffusers import DDPMPipeline

    made = folder / ".new"
    shutil.rmtree(made, ignore_errors=True)  # of a killed run
    kept = copy.deepcopy(network).to("cpu", dtype, memory_format=torch.contiguous_format)
    pipeline = DDPMPipeline(unet=kept, scheduler=scheduler)
    pipeline.save_pretrained(made, safe_serialization=True)
    text = json.dumps(card, indent=1, ensure_ascii=False)
    (made / CARD).write_text(text + "\n", encoding="utf-8")
    for part in sorted(made.iterdir()):
        if part.is_dir():
            replace_folder(part, folder / part.name)
        else:
            part.replace(folder / part.name)
    made.rmdir()
