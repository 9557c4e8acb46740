"""Checkpoints to whole networks, with what is known of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from . import guided_diffusion
from .card import CARD, Card, read_json
from .checkpoint import digest
from .diffusers_folder import find_network, load_network
from .latent import LatentSpace, load_latent_network
from .mae import build_mae, mae_config
from .noise import NoiseSchedule
from .opening import KINDS, Checkpoint, open_checkpoint
from .resnet import ResNetTrunk, build_resnet, published_blocks, resnet_config
from .transformers_folder import WEIGHTS, load_trunk, normalisation
from .trunk import ConvolutionalTrunk, LoadedTrunk
from .vit import MaeTrunk
from .weight_sets import Choice, NoChoiceError
from .weights import find_weights

__all__ = ["Hints", "LoadedUNet", "NotTakenError", "load_checkpoint", "load_unet"]

_MAE_BLOCKS = 12  # the last so many, as published
_DINO_BLOCKS = 4  # the last so many, as in DINOv2's own segmentation head
_RESNET_SIZE = (256, 256)  # of the paper; a ResNet itself has none


class NotTakenError(InputError):
    """A network was told what it does not take.

    Attributes
    ----------
    names : tuple of str
        Of the arguments of `backbone.load_backbone`.
    """

    def __init__(self, words: str, names: Sequence[str]) -> None:
        super().__init__(words)
        self.names = tuple(names)


@dataclass(frozen=True)
class Hints:
    """What a checkpoint cannot show; None where nobody told.

    Parameters
    ----------
    head_channels, heads : int, optional
        Channels of an attention head (default 64), or a fixed number of heads.
    attention_order : {"legacy", "new"}, optional
        Default "legacy".
    schedule : {"linear", "cosine"}, optional
        Default "linear". Of a diffusers folder, only if it states none.
    diffusion_steps : int, optional
        T, default 1000; goes with ``schedule``.
    prompt : str, optional
        The empty prompt's embedding, as a spec holds it; else the folder's text encoder makes it.
    weights : str, optional
        Which of several sets of weights, see `weight_sets`; by default the averaged one.
    """

    head_channels: int | None = None
    heads: int | None = None
    attention_order: str | None = None
    schedule: str | None = None
    diffusion_steps: int | None = None
    prompt: str | None = None
    weights: str | None = None

    def noise_schedule(self) -> NoiseSchedule:
        """Return the noise schedule, with defaults for what was not told."""
        steps = 1000 if self.diffusion_steps is None else self.diffusion_steps
        return NoiseSchedule.named(self.schedule or "linear", steps)

    def refuse(self, names: Sequence[str], why: str) -> None:
        """Raise `NotTakenError` if one of the named hints was given."""
        given = [name for name in names if getattr(self, name) is not None]
        if given:
            words = f"{', '.join(given)} cannot be told of this checkpoint: {why}"
            raise NotTakenError(words, given)

    def refuse_all_but(self, names: Sequence[str], why: str) -> None:
        """Raise `NotTakenError` if another hint than those was given."""
        self.refuse([f.name for f in fields(self) if f.name not in names], why)


@dataclass(frozen=True)
class LoadedUNet:
    """A whole diffusion U-Net as loaded, with what is known of it.

    Parameters
    ----------
    unet : diffusers.UNet2DModel or UNet2DConditionModel
        Evaluation mode, CPU, float32; ``unet(x_t, t).sample`` is its raw output.
    kind : str
        Of `KINDS`.
    source : str
        Path of the checkpoint, ``builtin:name``, or ``organisation/name@commit``.
    sha256 : str
        Of the files that count.
    architecture : mapping
        Plain JSON values.
    schedule : NoiseSchedule
    size : tuple of int, optional
        Height and width of images that it was trained on, as far as known.
    card : Card
    latents : LatentSpace, optional
        Where it works on latents: how images become such.
    weights : Choice
        Which of several sets of weights these are.
    aim : str
        What it was trained to predict, as diffusers names it: "epsilon" is the noise.
    """

    unet: Any
    kind: str
    source: str
    sha256: str
    architecture: Mapping[str, Any]
    schedule: NoiseSchedule
    size: tuple[int, int] | None
    card: Card
    latents: LatentSpace | None = None
    weights: Choice = field(default_factory=Choice)
    aim: str = "epsilon"


def load_checkpoint(
    checkpoint: str | Path, hints: Hints | None = None, kind: str | None = None
) -> LoadedUNet | LoadedTrunk:
    """Load whatever network a checkpoint holds.

    Parameters
    ----------
    checkpoint : path or str
        A file, a folder, ``builtin:name``, or ``organisation/name`` on the Hugging Face hub.
    hints : Hints, optional
    kind : str, optional
        What it must be, of `KINDS`.

    Raises
    ------
    InputError
        If there is no such checkpoint, it is of another kind, or damaged.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"there is no backbone '{kind}': use one of {', '.join(KINDS)}")
    opened, hints = _opened(checkpoint, hints or Hints())
    if kind is not None and kind != opened.kind:
        raise InputError(f"checkpoint '{checkpoint}' is {KINDS[opened.kind]}, not {KINDS[kind]}")
    loaders: dict[str, Callable[[Checkpoint, Hints], LoadedUNet | LoadedTrunk]] = {
        "guided-diffusion": _load_guided,
        "diffusers": _load_diffusers,
        "latent-diffusion": _load_latent,
        "mae": _load_mae,
        "swav": _load_resnet,
    }
    return loaders.get(opened.kind, _load_transformer)(opened, hints)


def load_unet(checkpoint: str | Path, hints: Hints | None = None) -> LoadedUNet:
    """Load a U-Net that works on RGB images.

    Parameters
    ----------
    checkpoint, hints
        See `load_checkpoint`.

    Raises
    ------
    InputError
        If there is no such checkpoint, or it is something else.
    """
    opened, hints = _opened(checkpoint, hints or Hints())
    if opened.kind == "guided-diffusion":
        return _load_guided(opened, hints)
    if opened.kind == "diffusers":
        return _load_diffusers(opened, hints)
    raise InputError(
        f"checkpoint '{checkpoint}' is {KINDS[opened.kind]}: expected a diffusion U-Net for RGB "
        "images"
    )


def _opened(checkpoint: str | Path, hints: Hints) -> tuple[Checkpoint, Hints]:
    """Return a checkpoint, and the hints that are not yet heeded."""
    try:
        return open_checkpoint(checkpoint, hints.weights), replace(hints, weights=None)
    except NoChoiceError as error:
        raise NotTakenError(str(error), ("weights",)) from error


def _load_guided(opened: Checkpoint, hints: Hints) -> LoadedUNet:
    assert opened.state is not None  # a file's
    hints.refuse(("prompt",), "it takes none")
    architecture = guided_diffusion.read_architecture(
        opened.state,
        head_channels=hints.head_channels,
        heads=hints.heads,
        attention_order=hints.attention_order or "legacy",
    )
    side = 8 * 2 ** (architecture.levels - 1)
    return LoadedUNet(
        unet=guided_diffusion.build(opened.state, architecture),
        kind=opened.kind,
        source=opened.source,
        sha256=digest({"weights": opened.path}),
        architecture=architecture.describe(),
        schedule=hints.noise_schedule(),
        size=(side, side),
        card=Card(),
        weights=opened.weights,
    )


def _load_diffusers(opened: Checkpoint, hints: Hints) -> LoadedUNet:
    states = "a diffusers folder states it itself"
    hints.refuse_all_but(("schedule", "diffusion_steps"), states)
    found = find_network(opened.path, network=opened.network)
    schedule = found.schedule()
    if schedule is not None:
        hints.refuse(("schedule", "diffusion_steps"), states)
    return LoadedUNet(
        unet=load_network(found),
        kind=opened.kind,
        source=opened.source,
        sha256=digest(found.files),
        architecture=found.architecture(),
        schedule=schedule or hints.noise_schedule(),
        size=found.sample_size(),
        card=found.card,
        weights=opened.weights,
        aim=found.aim(),
    )


def _load_latent(opened: Checkpoint, hints: Hints) -> LoadedUNet:
    hints.refuse_all_but(("prompt",), "a diffusers folder states it itself")
    found, unet, latents = load_latent_network(opened.path, hints.prompt, opened.network)
    schedule, size = found.schedule(), found.sample_size()
    if schedule is None:
        raise InputError(f"folder '{opened.path}' lacks scheduler/scheduler_config.json")
    return LoadedUNet(
        unet=unet,
        kind=opened.kind,
        source=opened.source,
        sha256=digest({**found.files, **latents.files}),
        architecture=found.architecture(),
        schedule=schedule,
        size=size and (size[0] * latents.factor, size[1] * latents.factor),
        card=found.card,
        latents=latents,
        weights=opened.weights,
        aim=found.aim(),
    )


def _load_mae(opened: Checkpoint, hints: Hints) -> LoadedTrunk:
    if opened.state is None:
        return _load_transformer(opened, hints)
    hints.refuse_all_but(("heads", "head_channels"), "a MAE takes no noise")
    config = mae_config(opened.state, hints.heads, hints.head_channels)
    side, depth = config["image_size"], config["num_hidden_layers"]
    return LoadedTrunk(
        MaeTrunk(build_mae(opened.state, config)),
        kind=opened.kind,
        source=opened.source,
        sha256=digest({"weights": opened.path}),
        architecture=config,
        size=(side, side),
        blocks=tuple(range(max(0, depth - _MAE_BLOCKS), depth)),
        weights=opened.weights,
    )


def _load_resnet(opened: Checkpoint, hints: Hints) -> LoadedTrunk:
    assert opened.state is not None  # a file's
    hints.refuse_all_but((), "a ResNet has no attention and takes no noise")
    config = resnet_config(opened.state)
    return LoadedTrunk(
        ResNetTrunk(build_resnet(opened.state, config)),
        kind=opened.kind,
        source=opened.source,
        sha256=digest({"weights": opened.path}),
        architecture=config,
        size=_RESNET_SIZE,
        blocks=published_blocks(config["depths"]),
        inputs=True,  # as published
        weights=opened.weights,
    )


def _load_transformer(opened: Checkpoint, hints: Hints) -> LoadedTrunk:
    hints.refuse_all_but((), "a transformers folder states it itself")
    folder = opened.path
    config = read_json(folder / "config.json")
    trunk, architecture = load_trunk(folder, config["model_type"])
    side, depth = architecture["image_size"], len(trunk.blocks)
    last = _MAE_BLOCKS if opened.kind == "mae" else _DINO_BLOCKS
    blocks = tuple(range(max(0, depth - last), depth))
    colours = normalisation(folder)
    return LoadedTrunk(
        trunk,
        kind=opened.kind,
        source=opened.source,
        sha256=digest({"config": folder / "config.json", **find_weights(folder, WEIGHTS)}),
        architecture=architecture,
        size=(side, side) if isinstance(side, int) else tuple(side),
        blocks=trunk.stage_ends if isinstance(trunk, ConvolutionalTrunk) else blocks,
        mean=colours[0],
        std=colours[1],
        card=Card.read(folder / CARD),
    )
