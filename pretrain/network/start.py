"""Where a run begins: a new network of a preset, or a checkpoint that is trained further."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ...extract.checkpoints.card import Card
from ...extract.networks.defaults import choose_size
from ...extract.networks.diffusion.noise import NoiseSchedule
from ...extract.networks.diffusion.unet import LoadedUNet
from ...extract.networks.options import CheckpointOptions
from ...extract.registry import load_unet
from ...store.errors import InputError
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
    card : Card
        What the checkpoint that it comes from recommends.
    trained_size : (height, width), optional
        What that was trained on.
    weights : str, optional
        Which of several sets of its weights were taken, in words.
    """

    network: Any
    scheduler: Any
    size: int
    facts: dict[str, Any]
    card: Card = field(default_factory=Card)
    trained_size: tuple[int, int] | None = None
    weights: str | None = None

    @property
    def parameters(self) -> int:
        """How many weights the network has."""
        return sum(weight.numel() for weight in self.network.parameters())

    @property
    def origin(self) -> str:
        """Where the network comes from, in words."""
        known = self.facts
        return known["init"]["source"] if "init" in known else f"'{known['network']}', new"


def begin(
    *,
    init: str | None,
    init_options: CheckpointOptions,
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
        A checkpoint, which is then trained further.
    init_options : CheckpointOptions
        What a ``.pt`` cannot show.
    preset : str, optional
        Of a new network.
    n_images : int
        By which the preset is chosen where none is given.
    size : int, optional
    schedule : {"linear", "cosine"}, optional
        Of a new network, or what a ``.pt`` was trained with.
    seed : int
        Of the weights of a new network.

    Raises
    ------
    InputError
        If the checkpoint cannot be trained further, or what is asked for contradicts it.
    """
    if init is not None:
        if preset is not None:
            raise InputError(
                f"--network {preset} is for a new network, but --init gives one: leave out one "
                "of the two"
            )
        return _further(init, replace(init_options, schedule=schedule), size)
    default = vars(CheckpointOptions())
    changed = [name for name, value in vars(init_options).items() if value != default[name]]
    given = [f"--{name.replace('_', '-')}" for name in changed]
    if given:
        raise InputError(
            f"{', '.join(given)} describes a guided-diffusion file (.pt): give it with --init"
        )
    name = choose_preset(preset, n_images)
    torch.manual_seed(seed)
    side = size or _SIZE
    network = build(PRESETS[name], side)
    noise = NoiseSchedule.named(schedule or "linear")
    return Start(network, scheduler_of(noise), side, {"network": name})


def _further(init: str, init_options: CheckpointOptions, size: int | None) -> Start:
    """Return a checkpoint that is trained further."""
    loaded = load_unet(init, init_options)
    network = loaded.unet
    _refuse_other_aims(init, loaded)
    _state_heads(init, network)
    height, width = choose_size(size, loaded.size, 2 ** (len(network.up_blocks) - 1))
    if height != width:
        raise InputError(
            f"'{init}' is for images of {height}x{width}, but pretraining needs square images: "
            "give one side with --size"
        )
    network.register_to_config(sample_size=height)
    scheduler = scheduler_of(loaded.schedule, learned_variance=network.config.out_channels == 6)
    origin = {"source": loaded.source, "sha256": loaded.sha256}
    if loaded.weights.name is not None:
        origin["weights"] = loaded.weights.name
    facts = {"network": "of init", "init": origin}
    return Start(network, scheduler, height, facts, loaded.card, loaded.size, loaded.weights.words)


def _refuse_other_aims(init: str, loaded: LoadedUNet) -> None:
    """Refuse a network that was trained for something else than the noise in RGB images."""
    channels = loaded.unet.config.out_channels
    if channels not in (3, 6):
        raise InputError(
            f"'{init}' predicts {channels} channels: expected 3 (the noise of an RGB image), "
            "or 6 (with its variance)"
        )
    largest = float(loaded.schedule.betas.max())
    if not largest < 1:
        raise InputError(
            f"the noise schedule of '{init}' has variances up to {largest:.3g}, expected "
            "below 1: does it belong to this network?"
        )
    if loaded.prediction != "epsilon":
        raise InputError(
            f"'{init}' was trained to predict {loaded.prediction!r}, but only networks that "
            "predict the noise (epsilon) can be fine-tuned"
        )


def _state_heads(init: str, network: Any) -> None:
    """Write a fixed number of attention heads as channels a head, which a configuration can say.

    Raises
    ------
    InputError
        If levels differ in it.
    """
    layers = [module for module in network.modules() if type(module).__name__ == "Attention"]
    widths = {layer.to_q.out_features // layer.heads for layer in layers}
    if network.config.attention_head_dim is not None or not widths:
        return
    if len(widths) > 1 and any(layer.heads > 1 for layer in layers):
        raise InputError(
            f"'{init}' has a fixed number of attention heads on levels of different width, "
            "which the diffusers format cannot express: start from another checkpoint"
        )
    if len(widths) == 1:
        network.register_to_config(attention_head_dim=widths.pop())
