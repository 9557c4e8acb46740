"""The networks that dseg knows, and which of them a checkpoint contains.

A further network is a module with `KINDS`, `matches` and `load`, and its name in `NETWORKS`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ..store.errors import InputError
from .checkpoints.diffusers_folder import WEIGHTS
from .checkpoints.opening import Checkpoint, open_checkpoint
from .checkpoints.state_dict import some_keys
from .checkpoints.weight_sets import NoChoiceError
from .networks import handcrafted
from .networks.base import LoadedNetwork
from .networks.diffusion import diffusers_unet, guided_diffusion, latent
from .networks.diffusion.unet import LoadedUNet
from .networks.feedforward import efficientnet, mae_published, resnet, transformers_model
from .networks.options import CheckpointOptions, UnsupportedOptionError

__all__ = ["KINDS", "NETWORKS", "Network", "load_network", "load_unet"]


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
    mae_published,
    resnet,
    efficientnet,
    transformers_model,
)

KINDS: Mapping[str, str] = {kind: words for n in NETWORKS for kind, words in n.KINDS.items()}
"""All kinds of networks, in words."""

_RGB_DIFFUSION = (*guided_diffusion.KINDS, *diffusers_unet.KINDS)

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
        What it must be, of `KINDS`.

    Raises
    ------
    InputError
        If there is no such checkpoint, it is of another kind, or damaged; an
        `UnsupportedOptionError` if an option does not fit it.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown backbone '{kind}': use one of {', '.join(KINDS)}")
    opened = _opened(checkpoint, options.weights)
    network, found = _identified(opened)
    if kind not in (None, found):
        raise InputError(f"checkpoint '{checkpoint}' is {KINDS[found]}, not {KINDS[kind]}")
    return network.load(opened, options)


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
    opened = _opened(checkpoint, options.weights)
    network, found = _identified(opened)
    loaded = network.load(opened, options) if found in _RGB_DIFFUSION else None
    if not isinstance(loaded, LoadedUNet):
        raise InputError(
            f"checkpoint '{checkpoint}' is {KINDS[found]}: expected a diffusion U-Net for RGB "
            "images"
        )
    return loaded


def _opened(checkpoint: str | Path, weights: str | None) -> Checkpoint:
    try:
        return open_checkpoint(checkpoint, weights)
    except NoChoiceError as error:
        raise UnsupportedOptionError(str(error), ("weights",)) from error


def _identified(checkpoint: Checkpoint) -> tuple[Network, str]:
    """Return which network a checkpoint holds, and of which kind."""
    for network in NETWORKS:
        kind = network.matches(checkpoint)
        if kind is not None:
            return network, kind
    why = _why_unknown_file if checkpoint.state is not None else _why_unknown_folder
    raise InputError(why(checkpoint))


def _why_unknown_file(checkpoint: Checkpoint) -> str:
    path, state = checkpoint.path, checkpoint.state or {}
    if any(keys <= state.keys() for keys in _OF_FOLDERS):
        return (
            f"'{path}' holds the weights of a diffusers or transformers network without its "
            "configuration: give the folder that has its config.json"
        )
    return (
        f"'{path}' holds no network that dseg knows: expected a guided-diffusion U-Net, a MAE, a "
        f"ResNet-50 of SwAV or an EfficientNet-Lite; its tensors are {some_keys(state)}, …"
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
            f"expected one of {', '.join(transformers_model.MODELS)}"
        )
    return (
        f"'{network / 'config.json'}' does not name a network: expected a _class_name "
        "(diffusers) or a model_type (transformers). Was the download complete?"
    )
