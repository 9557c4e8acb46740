"""A trained network on disk: a diffusers pipeline folder with a card."""

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ...extract.checkpoints.card import CARD
from ...extract.networks.diffusion.noise import NoiseSchedule
from ...store.atomic_folder import replace_folder
from ...store.errors import DsegError
from ...store.texts import object_in, read_json

__all__ = ["PARTS", "read_card", "scheduler_of", "write_network"]

# In the order in which they are replaced: the card tells of what is there, so it comes last.
PARTS = ("unet", "scheduler", "model_index.json", CARD)


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

    Raises
    ------
    DsegError
        If there is no room, or it may not be written; the parts of the older one are kept.
    """
    from diffusers import DDPMPipeline

    made = folder / ".new"
    shutil.rmtree(made, ignore_errors=True)  # of a killed run
    kept = copy.deepcopy(network).to("cpu", memory_format=torch.contiguous_format)
    if dtype != torch.float32:  # not by diffusers, which then warns of modules that it keeps
        torch.nn.Module.to(kept, dtype)
    try:
        DDPMPipeline(unet=kept, scheduler=scheduler).save_pretrained(made, safe_serialization=True)
        _forget_origin(made / "unet" / "config.json")
        text = json.dumps(card, indent=1, ensure_ascii=False)
        (made / CARD).write_text(text + "\n", encoding="utf-8")
        for part in PARTS:
            if (made / part).is_dir():
                replace_folder(made / part, folder / part)
            else:
                (made / part).replace(folder / part)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(made, ignore_errors=True)
        raise DsegError(
            f"the network cannot be written to '{folder}': {error}. Repeat the command to "
            "continue and write it"
        ) from error
    shutil.rmtree(made)


def _forget_origin(config: Path) -> None:
    """Leave out where the network was loaded from: a path of this machine, and not its own."""
    plain = read_json(config)
    plain.pop("_name_or_path", None)
    config.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a trained network; an empty one if it has none that can be read."""
    return object_in(folder / CARD) or {}
