"""How large the network of a configuration may be: no larger than its weights on disk.

A ``config.json`` of a few bytes may ask for 10^7 layers, or for layers of 10^6 channels. Its
network is first built without memory (PyTorch's meta device), and no further than to the bounds
here.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from ...store.errors import InputError
from ...store.pickled_tensors import read_pickled, refuse_unbacked
from .card import read_json

__all__ = ["MOST_NUMBER", "MOST_TENSORS", "bytes_of", "read_config", "refuse_larger"]

MOST_NUMBER = 2**20
"""Of any whole number in a configuration. The highest in use are the sizes of vocabularies, below
300,000; a library may make a list of as many names as there are layers."""

MOST_TENSORS = 10_000
"""Weights of a network. The largest that dseg can use have 2,000; 10,000 are built in seconds."""

_UNSTORED = 2**24
"""Values that a network may have beside those on disk, such as tables of positions: 64 MB."""


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a network, a JSON object.

    Raises
    ------
    InputError
        If it is none, or has a number that no network has.
    """
    config = read_json(path)
    for key, number in _numbers(config):
        if abs(number) > MOST_NUMBER:
            raise InputError(
                f"'{path}' has {str(number)[:20]} for {key[:60]}: no network that dseg knows has "
                f"a number above {MOST_NUMBER} there"
            )
    return config


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the whole numbers of a configuration, at any depth, with the nearest name above."""
    within: list[tuple[str, Any]] = list(config.items())
    while within:
        key, value = within.pop()
        if isinstance(value, dict):
            within.extend(value.items())
        elif isinstance(value, list):
            within.extend((key, one) for one in value)
        elif isinstance(value, int):
            yield key, value


def refuse_larger(build: Callable[[], nn.Module], stored: int, what: str) -> None:
    """Refuse a network with more values than are stored, before there is memory for any.

    Parameters
    ----------
    build : callable
        Makes the network.
    stored : int
        Values, or bytes, of which one value takes at least one.
    what : str
        The weights, for the message.

    Raises
    ------
    InputError
    """
    with torch.device("meta"), _counted(stored + _UNSTORED, what):
        build()


def bytes_of(files: Mapping[str, Path]) -> int:
    """Return the size of a folder's weights, pickles looked at first.

    Parameters
    ----------
    files : mapping of str to Path
        See `weight_files.find_weights`.

    Raises
    ------
    ValueError
        If a pickle is damaged, or holds more than plain tensors of its own.
    """
    total = 0
    for path in files.values():
        size = path.stat().st_size
        total += size
        if path.suffix == ".bin":
            content = read_pickled(path)
            if not isinstance(content, Mapping):
                raise ValueError(f"{path.name} holds no weights by name")
            refuse_unbacked((one for one in content.values() if isinstance(one, Tensor)), size)
    return total


@contextmanager
def _counted(most: int, what: str) -> Iterator[None]:
    """Refuse modules as soon as those made in the body have too many or too large tensors."""
    tensors = values = 0

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal tensors, values
        if tensor is None:
            return
        tensors, values = tensors + 1, values + tensor.numel()
        if values > most or tensors > MOST_TENSORS:
            most_of = (
                f"{MOST_TENSORS} tensors" if tensors > MOST_TENSORS else "the values that they hold"
            )
            raise InputError(
                f"{what} are not those of the configuration, whose network has more than {most_of}"
            )

    added = [
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in added:
            hook.remove()
