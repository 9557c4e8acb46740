"""The networks that dseg knows, and which of them a checkpoint contains.

A further network is a module with `KINDS`, `matches` and `load`, and its name in `NETWORKS`.
"""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ..store.errors import InputError
from .checkpoints.diffusers_folder import WEIGHTS
from .checkpoints.opening import Checkpoint, open_checkpoint
from .checkpoints.state_dict import some_keys, under_prefixes
from .checkpoints.weight_sets import NoChoiceError
from .networks import handcrafted
from .networks.base import LoadedNetwork
from .networks.diffusion import diffusers_unet, guided_diffusion, latent, lucidrains, monai_unet
from .networks.diffusion.unet import LoadedUNet
from .networks.feedforward import (
    efficientnet,
    mae_published,
    pyramid,
    resnet,
    sam,
    transformers_model,
)
from .networks.feedforward.own import KIND, factory_names, is_factory, load_own
from .networks.generators import stylegan, stylegan2
from .networks.generators.base import LoadedGenerator
from .networks.options import CheckpointOptions, UnsupportedOptionError

__all__ = [
    "KINDS",
    "NETWORKS",
    "Network",
    "load_generator",
    "load_network",
    "is_own",
    "load_unet",
    "refuse_unknown",
    "words_of",
]


class Network(Protocol):
    """A family of networks: a module that recognises their checkpoints and loads them."""

    @property
    def KINDS(self) -> Mapping[str, str]:  # noqa: N802
        """What it loads, in words, by the name that ``--backbone`` takes."""

    def matches(self, checkpoint: Checkpoint, /) -> str | None:
        """Return which of its kinds a checkpoint holds; None if none."""

    def load(self, checkpoint: Checkpoint, options: CheckpointOptions, /) -> LoadedNetwork:
        """Load a network that it matches, or raise `InputError`."""


NETWORKS: tuple[Network, ...] = (
    handcrafted,
    guided_diffusion,
    latent,  # before those of RGB images, for its U-Net may look like theirs
    diffusers_unet,
    monai_unet,
    lucidrains,
    sam,  # before MAE, of which some names are the same
    mae_published,
    resnet,
    efficientnet,
    stylegan,
    stylegan2,
    transformers_model,
    pyramid,  # after those whose blocks are known
)

KINDS: Mapping[str, str] = {kind: words for n in NETWORKS for kind, words in n.KINDS.items()}
"""All kinds of networks that checkpoints show, in words."""

_RGB_DIFFUSION = (*guided_diffusion.KINDS, *diffusers_unet.KINDS)
_DRAWING = (
    *_RGB_DIFFUSION,
    *monai_unet.KINDS,
    *lucidrains.KINDS,
    *stylegan.KINDS,
    *stylegan2.KINDS,
)

# What loading from values of another form or shape ends in.
_MISFORMED = (LookupError, ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError)

# By these keys, weights that mean little without the config.json next to them.
_OF_FOLDERS = (
    {"conv_in.weight", "time_embedding.linear_1.weight"},
    {"embeddings.cls_token", "embeddings.patch_embeddings.projection.weight"},
    {"vit.embeddings.cls_token", "vit.embeddings.patch_embeddings.projection.weight"},
)


def load_network(
    checkpoint: str | Path, options: CheckpointOptions, kind: str | None = None
) -> LoadedNetwork:
    """Load whatever network a checkpoint holds.

    Parameters
    ----------
    checkpoint : path or str
        A file, a folder, ``builtin:name``, or ``organisation/name`` on the Hugging Face hub.
    options : CheckpointOptions
    kind : str, optional
        What it must be, of `KINDS`; or the factory of a network of one's own, see `own`, which
        takes the checkpoint in place of a path.

    Raises
    ------
    InputError
        If there is no such checkpoint, it is of another kind, or damaged; an
        `UnsupportedOptionError` if an option does not fit it.
    """
    if kind is not None and is_own(kind):
        return load_own(kind, None if str(checkpoint) == kind else str(checkpoint), options)
    refuse_unknown(kind)
    opened = _opened(checkpoint, options)
    network, found, opened = _identified(opened)
    if kind not in (None, found):
        raise InputError(f"checkpoint '{checkpoint}' is {KINDS[found]}, not {KINDS[kind]}")
    return _loaded(network, found, opened, options)


def _loaded(
    network: Network, found: str, opened: Checkpoint, options: CheckpointOptions
) -> LoadedNetwork:
    try:
        return network.load(opened, options)
    except InputError:
        raise
    except _MISFORMED as error:
        # An architecture is read off the shapes, and any tensor of a damaged file may have another;
        # so may any value of a configuration.
        what = "a value of its configuration" if opened.state is None else "a tensor"
        other = "form" if opened.state is None else "shape"
        raise InputError(
            f"'{opened.path}' is not {KINDS[found]} as expected: {what} is missing or has another "
            f"{other} ({type(error).__name__}: {textwrap.shorten(str(error), 200)})"
        ) from error


def refuse_unknown(kind: str | None) -> None:
    """Raise `InputError` if there is no such kind of networks, and no such factory."""
    if kind is not None and kind not in KINDS and not is_factory(kind):
        raise InputError(
            f"unknown backbone '{kind}': use one of {', '.join((*KINDS, *factory_names()))}, or "
            "package.module:factory"
        )


def is_own(kind: str | None) -> bool:
    """Say whether this names a network of one's own: no kind that is known, but a factory."""
    return kind not in KINDS and is_factory(kind)


def words_of(kind: str) -> str:
    """Return a kind of networks in words, of one's own too."""
    return "a network of your own" if kind == KIND else KINDS[kind]


def load_unet(checkpoint: str | Path, options: CheckpointOptions | None = None) -> LoadedUNet:
    """Load a U-Net that works on RGB images.

    Parameters
    ----------
    checkpoint, options
        See `load_network`.

    Raises
    ------
    InputError
        If there is no such checkpoint, or it is something else.
    """
    options = options or CheckpointOptions()
    opened = _opened(checkpoint, options)
    network, found, opened = _identified(opened)
    classes = "label_emb.weight" in (opened.state or {}) or opened.config.get("num_class_embeds")
    loaded = None
    if found in _RGB_DIFFUSION and not classes:
        loaded = _loaded(network, found, opened, options)
    if not isinstance(loaded, LoadedUNet):
        what = "of a class-conditional network" if classes else KINDS[found]
        raise InputError(
            f"checkpoint '{checkpoint}' is {what}: expected an unconditional diffusion U-Net for "
            "RGB images"
        )
    return loaded


def load_generator(
    checkpoint: str | Path, options: CheckpointOptions | None = None
) -> LoadedUNet | LoadedGenerator:
    """Load what can draw images: a diffusion U-Net of images, RGB or grey, or a StyleGAN.

    Parameters
    ----------
    checkpoint, options
        See `load_network`.

    Raises
    ------
    InputError
        If there is no such checkpoint, it is damaged, or a network that cannot draw images.
    """
    options = options or CheckpointOptions()
    opened = _opened(checkpoint, options)
    network, found, opened = _identified(opened)
    if found in _DRAWING:
        loaded = _loaded(network, found, opened, options)
        assert isinstance(loaded, LoadedUNet | LoadedGenerator)  # all of those kinds are
        return loaded
    latent_note = ", and drawing latents is not supported" if found in latent.KINDS else ""
    raise InputError(
        f"checkpoint '{checkpoint}' cannot draw images: it is {KINDS[found]}{latent_note}. Give a "
        "diffusion model of images themselves: a file of guided-diffusion, MONAI or "
        "denoising-diffusion-pytorch, a diffusers folder with a UNet2DModel and no autoencoder, or "
        "a StyleGAN"
    )


def _opened(checkpoint: str | Path, options: CheckpointOptions) -> Checkpoint:
    try:
        return open_checkpoint(checkpoint, options.weights, fetch=options.fetch)
    except NoChoiceError as error:
        raise UnsupportedOptionError(str(error), ("weights",)) from error


def _identified(checkpoint: Checkpoint) -> tuple[Network, str, Checkpoint]:
    """Return which network a checkpoint holds, of which kind, and the part of it that is that."""
    for part in (checkpoint, *_parts(checkpoint)):
        for network in NETWORKS:
            kind = network.matches(part)
            if kind is not None:
                return network, kind, part
    why = _why_unknown_file if checkpoint.state is not None else _why_unknown_folder
    raise InputError(why(checkpoint))


def _parts(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """Yield what a file has under a prefix."""
    whole = checkpoint.state or {}
    for prefix, state in under_prefixes(whole):
        left_out = len(whole) - len(state)
        words = f"the weights under '{prefix}'" + (f" ({left_out} left out)" if left_out else "")
        said = "; ".join(text for text in (checkpoint.weights.words, words) if text)
        yield replace(checkpoint, state=state, weights=replace(checkpoint.weights, words=said))


def _why_unknown_file(checkpoint: Checkpoint) -> str:
    path, state = checkpoint.path, checkpoint.state or {}
    if any(keys <= state.keys() for keys in _OF_FOLDERS):
        return (
            f"'{path}' holds the weights of a diffusers or transformers network without its "
            "configuration: give the folder that has its config.json"
        )
    return (
        f"'{path}' holds no network that dseg knows: expected a diffusion U-Net of "
        "guided-diffusion, MONAI or denoising-diffusion-pytorch, a MAE, a ResNet-50 of SwAV, an "
        f"EfficientNet-Lite, a SAM or a StyleGAN; its tensors are {some_keys(state)}, …"
    )


def _why_unknown_folder(checkpoint: Checkpoint) -> str:
    folder, network, config = checkpoint.path, checkpoint.network, checkpoint.config
    if network is None:
        return (
            f"folder '{folder}' holds no network: expected a config.json next to the weights "
            f"({WEIGHTS[0]}; model.safetensors of transformers), in it or in its sub-folder 'unet'"
        )
    if "model_type" in config:
        return (
            f"the network in '{folder}' is a transformers model of type '{config['model_type']}': "
            f"expected one of {', '.join((*transformers_model.MODELS, *sam.MODELS))}, sam2, or one "
            "that has a class of backbones (AutoBackbone), such as convnextv2, swin or resnet"
        )
    return (
        f"'{network / 'config.json'}' does not name a network: expected a _class_name "
        "(diffusers) or a model_type (transformers). Was the download complete?"
    )
