"""Trained encoders of transformers' networks that the hub cache has; nothing is fetched."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ...extract.checkpoints.transformers_folder import loaded_quietly
from ...store.errors import InputError
from .start import Start

__all__ = ["with_cached_encoder"]


def with_cached_encoder(
    network: nn.Module, put: Callable[[nn.Module], object], model: Any, names: Sequence[str]
) -> Start:
    """Give a network the first of several trained encoders that is in the cache.

    Parameters
    ----------
    network : nn.Module
        With random weights.
    put : callable
        Puts a trained encoder into it.
    model : type
        The encoder's in transformers, such as ``SegformerModel``.
    names : sequence of str
        On the hub, the preferred one first.

    Returns
    -------
    Start
        With random weights if none is there, or what is there cannot be used.
    """
    for name in names:
        try:
            put(loaded_quietly(model, name, name, local_files_only=True))
        except InputError:
            continue
        return Start(network, f"the encoder of {name}, a random head", trained="encoder")
    none = " and ".join(names)
    return Start(network, f"random weights: the hub cache has neither of {none}")
