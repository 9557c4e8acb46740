"""What a checkpoint is, and where it lies: told by its files, whatever they are called."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..store.errors import InputError
from . import mae, resnet
from .builtin import BUILTIN, builtin_folder, is_builtin
from .card import CARD, read_json
from .checkpoint import StateDict, load_weights, some_keys
from .diffusers_folder import (
    AUTOENCODERS,
    NETWORKS,
    SCHEDULER,
    autoencoder_beside,
    choose_network,
    pipeline_of,
)
from .diffusers_folder import WEIGHTS as DIFFUSERS_WEIGHTS
from .guided_diffusion import FIRST_CONV
from .transformers_folder import KIND_OF_MODEL, PROCESSOR
from .transformers_folder import WEIGHTS as TRANSFORMERS_WEIGHTS
from .weight_sets import Choice
from .weights import patterns_of

__all__ = ["KINDS", "Checkpoint", "is_hub_id", "open_checkpoint"]

KINDS: dict[str, str] = {
    "guided-diffusion": "a guided-diffusion U-Net",
    "diffusers": "a diffusers UNet2DModel",
    "latent-diffusion": "a diffusion U-Net of latents, with their autoencoder",
    "mae": "a masked autoencoder (MAE)",
    "swav": "a ResNet, as SwAV trains it",
    "dinov2": "a DINOv2 network",
    "dinov3": "a DINOv3 network",
}
"""The networks that are known here, in words."""

# By these keys, weights that mean little without the config.json beside them.
_OF_FOLDERS = (
    {"conv_in.weight", "time_embedding.linear_1.weight"},
    {"embeddings.cls_token", "embeddings.patch_embeddings.projection.weight"},
    {"vit.embeddings.cls_token", "vit.embeddings.patch_embeddings.projection.weight"},
)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
PARTS = (*NETWORKS, "vae", "vqvae", "text_encoder", "text_encoder_2")
# What of a repository on the hub is needed beside the weights.
SMALL = (
    "model_index.json",
    CARD,
    SCHEDULER,
    f"scheduler/{SCHEDULER}",
    "config.json",
    PROCESSOR,
    *(f"{part}/config.json" for part in PARTS),
    "tokenizer/*",
    "tokenizer_2/*",
)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found and recognised.

    Parameters
    ----------
    kind : str
        Of `KINDS`.
    path : Path
        A file, or a folder.
    source : str
        The absolute path, ``builtin:name``, or ``organisation/name@commit``.
    state : dict, optional
        The tensors of a file, which tell what it is.
    network : Path, optional
        Of a folder: the one of it that holds the network, if there is one.
    weights : Choice
        Which of several sets of weights these are.
    """

    kind: str
    path: Path
    source: str
    state: StateDict | None = None
    network: Path | None = None
    weights: Choice = field(default_factory=Choice)


def open_checkpoint(checkpoint: str | Path, weights: str | None = None) -> Checkpoint:
    """Find a checkpoint, download it if need be, and tell what it is.

    Parameters
    ----------
    checkpoint : path or str
        A file, a folder, ``builtin:name``, or ``organisation/name`` on the Hugging Face hub.
    weights : str, optional
        Which of several sets of weights to take, see `weight_sets`.

    Raises
    ------
    InputError
        If there is none, or it is no network that is known here.
    """
    name, path = str(checkpoint), Path(checkpoint)
    if not (path.exists() or is_builtin(name) or is_hub_id(name)):
        raise InputError(
            f"checkpoint '{checkpoint}' does not exist: give a file (.pt, .pth), a diffusers or "
            f"transformers folder, a hub id such as organisation/name, or {BUILTIN}"
        )
    if is_builtin(name):
        return _opened_folder(builtin_folder(name), name, weights)
    if path.is_file():
        path = path.resolve()
        state, choice = load_weights(path, weights)
        state = resnet.plain_names(state)
        kind = _kind_of_file(state, path)
        return Checkpoint(kind, path, str(path), state, weights=choice)
    if path.is_dir():
        return _opened_folder(path.resolve(), str(path.resolve()), weights)
    return _opened_folder(*_download(name), weights)


def _opened_folder(folder: Path, source: str, weights: str | None) -> Checkpoint:
    network, choice = choose_network(folder, weights)
    kind = _kind_of_folder(folder, network)
    return Checkpoint(kind, folder, source, network=network, weights=choice)


def is_hub_id(checkpoint: str) -> bool:
    """Say whether a text has the form ``organisation/name``, perhaps with ``@revision``.

    Examples
    --------
    >>> is_hub_id("google/ddpm-cat-256"), is_hub_id("models/cat.pt"), is_hub_id("./cat")
    (True, False, False)
    """
    return HUB_ID.fullmatch(checkpoint) is not None and not checkpoint.endswith(
        (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
    )


def _kind_of_file(state: StateDict, path: Path) -> str:
    if all(key in state for key in mae.SIGNS[:2]):
        return "mae"
    if all(key in state for key in resnet.SIGNS):
        return "swav"
    if FIRST_CONV in state or any(key.startswith("input_blocks.") for key in state):
        return "guided-diffusion"
    if any(keys <= state.keys() for keys in _OF_FOLDERS):
        raise InputError(
            f"'{path}' holds the weights of a diffusers or transformers network without its "
            "configuration: give the folder that has its config.json"
        )
    raise InputError(
        f"'{path}' holds no network that dseg knows: expected a guided-diffusion U-Net, a MAE or a "
        f"ResNet-50 of SwAV; its tensors are {some_keys(state)}, …"
    )


def _kind_of_folder(folder: Path, network: Path | None) -> str:
    """Tell a folder's network by its configurations; what is wrong with it is said on loading."""
    if network is None:
        return "diffusers"
    config = read_json(network / "config.json")
    if "_class_name" not in config and "model_type" in config:
        kind = KIND_OF_MODEL.get(str(config["model_type"]))
        if kind is None:
            raise InputError(
                f"the network in '{folder}' is a transformers model of type "
                f"'{config['model_type']}': expected one of {', '.join(KIND_OF_MODEL)}"
            )
        return kind
    if "_class_name" not in config:
        raise InputError(
            f"'{network / 'config.json'}' names no network: expected a _class_name (diffusers) or "
            "a model_type (transformers). Was the download complete?"
        )
    if config["_class_name"] == "UNet2DConditionModel" or _has_autoencoder(network):
        return "latent-diffusion"
    return "diffusers"


def _has_autoencoder(network: Path) -> bool:
    """Say whether an autoencoder stands beside a U-Net, or should: latents may look like RGB."""
    index = pipeline_of(network) / "model_index.json"
    named = read_json(index) if index.is_file() else {}
    return autoencoder_beside(network) is not None or any(part in named for part in AUTOENCODERS)


def _download(hub_id: str) -> tuple[Path, str]:
    """Return the local copy of a hub's network, downloaded if need be, and its exact id.

    Parameters
    ----------
    hub_id : str
        ``organisation/name`` or ``organisation/name@revision``.

    Returns
    -------
    folder : Path
    exact : str
        ``organisation/name@commit``.

    Raises
    ------
    InputError
        If it is neither in the local cache nor to be had.
    """
    from huggingface_hub import snapshot_download

    name, _, revision = hub_id.partition("@")
    try:
        # many have both forms: the second only where the first lacks
        for names in zip(DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS, strict=True):
            weights = patterns_of(names)
            files = [*weights, *(f"{part}/{name}" for part in PARTS for name in weights)]
            folder = Path(
                snapshot_download(
                    name,
                    revision=revision or None,
                    allow_patterns=[*SMALL, *files],
                    etag_timeout=5,
                )
            )
            if any(any(folder.glob(file)) for file in files):
                break
    except Exception as error:  # the hub's client lets errors of several HTTP libraries through
        raise InputError(
            f"checkpoint '{hub_id}' is no local file or folder, and could not be had from the "
            f"Hugging Face hub ({type(error).__name__}). Check the name and the network, give a "
            f"local folder, or download it first with: hf download {name}"
        ) from error
    return folder, f"{name}@{folder.name}"
