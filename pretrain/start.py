"""Where a run begins: a new network of a preset, or a checkpoint that is trained further."""

from dataclasses import dataclass
from typing import Any

import torch

from ..extract.choices import choose_size
from ..extract.loading import Hints, load_unet
from ..extract.noise import NoiseSchedule
from ..store.errors import InputError
from .folder import scheduler_of
from .presets import PRESETS, build, choose_preset

__all__ = ["Start", "begin"]

_SIZE = 64


@dataclass(frozen=True)
class Start:
    """A network before it is trained.

    Parameters
    ----------
    network : diffusers.UNet2DModel
    scheduler : diffusers.DDPMScheduler
    size : int
        Side of what the network sees, pixels.
    facts : mapping
        Where it comes from, plain JSON values.
    """

    network: Any
    scheduler: Any
    size: int
    facts: dict[str, Any]


def begin(
    *,
    init: str | None,
    hints: Hints,
    preset: str | None,
    n_images: int,
    size: int | None,
    schedule: str | None,
    seed: int,
) -> Start:
    """Return the network that a run trains.

    Parameters
    ----------
    init : str, optional
        A checkpoint; then ``preset`` and ``schedule`` are its own and may not be given.
    hints : Hints
        What a ``.pt`` cannot show.
    preset : str, optional
    n_images : int
        By which the preset is chosen where none is given.
    size : int, optional
    schedule : {"linear", "cosine"}, optional
    seed : int
        Of the weights of a new network.

    Raises
    ------
    InputError
        If the checkpoint cannot be trained further, or what is asked for contradicts it.
    """
    if init is None:
        name = choose_preset(preset, n_images)
        torch.manual_seed(seed)
        side = size or _SIZE
        network = build(PRESETS[name], side)
        noise = NoiseSchedule.named(schedule or "linear")
        return Start(network, scheduler_of(noise), side, {"network": name})
    given = {"--network": preset, "--schedule": schedule}
    for option, value in given.items():
        if value is not None:
            raise InputError(f"{option} {value} goes with a new network; --init brings its own")
    loaded = load_unet(init, hints)
    if loaded.architecture.get("heads") is not None:
        raise InputError(
            f"'{init}' has a fixed number of attention heads, which a diffusers folder, the form "
            "that is written, cannot express: begin from another checkpoint"
        )
    network = loaded.unet
    own = None if loaded.size is None else loaded.size
    height, width = choose_size(size, own, len(network.up_blocks))
    if height != width:
        raise InputError(f"'{init}' is for images of {height}x{width}: give a --size, one side")
    network.register_to_config(sample_size=height)
    scheduler = scheduler_of(loaded.schedule, learned_variance=network.config.out_channels == 6)
    facts = {"network": "of init", "init": {"source": loaded.source, "sha256": loaded.sha256}}
    return Start(network, scheduler, height, facts)
