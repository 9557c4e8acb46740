"""A checkpoint opened: found, downloaded if need be, its tensors or configuration read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...store.errors import InputError
from .builtin import BUILTIN, builtin_path, is_builtin
from .diffusers_folder import choose_network
from .hub import download, is_hub_id
from .network_size import read_config
from .state_dict import StateDict, load_weights
from .weight_sets import Choice

__all__ = ["Checkpoint", "open_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found and opened; `registry.NETWORKS` identify it.

    Parameters
    ----------
    path : Path
        A file, or a folder.
    source : str
        The absolute path, ``builtin:name``, or ``organisation/name@commit``.
    state : dict, optional
        Of a file: its tensors.
    network : Path, optional
        Of a folder: the one of it that holds the network, if there is one.
    config : mapping
        That network's ``config.json``; else empty.
    weights : Choice
        Which of several sets of weights these are.
    """

    path: Path
    source: str
    state: StateDict | None = None
    network: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Choice = field(default_factory=Choice)


def open_checkpoint(
    checkpoint: str | Path, weights: str | None = None, *, fetch: bool = True
) -> Checkpoint:
    """Find a checkpoint, download it if need be, and read what identifies its network.

    Parameters
    ----------
    checkpoint : path or str
        A file, a folder, ``builtin:name``, or ``organisation/name`` on the Hugging Face hub.
    weights : str, optional
        Which of several sets of weights to take, see `weight_sets`.
    fetch : bool
        Whether it may be downloaded, see `hub.download`.

    Raises
    ------
    InputError
        If there is none, or it is damaged; a `NoChoiceError` if it has no such set of weights.
    """
    name, path = str(checkpoint), Path(checkpoint)
    if not (path.exists() or is_builtin(name) or is_hub_id(name)):
        raise InputError(
            f"checkpoint '{checkpoint}' does not exist: give a file (.pt, .pth, .ckpt, "
            f".safetensors), a diffusers or transformers folder, a hub id such as "
            f"organisation/name, or {BUILTIN}"
        )
    if is_builtin(name):
        path, source = builtin_path(name), name
    elif path.exists():
        path = path.resolve()
        source = str(path)
    else:
        path, source = download(name, fetch=fetch)
    if not (path.is_dir() or path.is_file()):
        raise InputError(f"checkpoint '{path}' is no regular file: is it a pipe or a device?")
    return (_opened_folder if path.is_dir() else _opened_file)(path, source, weights)


def _opened_file(path: Path, source: str, weights: str | None) -> Checkpoint:
    state, choice = load_weights(path, weights)
    return Checkpoint(path, source, state, weights=choice)


def _opened_folder(folder: Path, source: str, weights: str | None) -> Checkpoint:
    network, choice = choose_network(folder, weights)
    config = {} if network is None else read_config(network / "config.json")
    return Checkpoint(folder, source, network=network, config=config, weights=choice)
