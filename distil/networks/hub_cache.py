"""Trained weights of transformers' networks that the hub cache has; nothing is fetched."""

from collections.abc import Sequence
from typing import Any

from ...extract.checkpoints.transformers_folder import loaded_quietly
from ...store.errors import InputError

__all__ = ["from_cache"]


def from_cache(model: Any, names: Sequence[str]) -> tuple[Any, str] | None:
    """Return the first of several networks that is in the cache, and its name.

    Parameters
    ----------
    model : type
        Of transformers, such as ``SegformerModel``.
    names : sequence of str
        On the hub, the preferred one first.

    Returns
    -------
    tuple of (nn.Module, str), or None
        None if none is there, or what is there cannot be used.
    """
    for name in names:
        try:
            return loaded_quietly(model, name, name, local_files_only=True), name
        except InputError:
            continue
    return None
