"""How to get a backbone.

The way is straight: `checkpoints.opening` opens a checkpoint, `registry` finds its network, the
network loads it and chooses layers and size. `from_spec` goes the same way with the options of a
feature spec.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .checkpoints.builtin import BUILTIN
from .networks.options import BackboneOptions
from .protocol import Backbone
from .registry import load_network

__all__ = ["load_backbone", "open_backbone"]


def open_backbone(checkpoint: str | Path, options: BackboneOptions) -> Backbone:
    """Load a network and make ready to record activations of its blocks.

    Parameters
    ----------
    checkpoint : path or str
        A file or folder of a network of `registry.KINDS`, ``builtin:name``, or the id of a folder
        on the Hugging Face hub, ``organisation/name`` or ``organisation/name@revision``.
    options : BackboneOptions

    Raises
    ------
    InputError
        If the checkpoint is missing, is something else, or lacks what the options request; an
        `UnsupportedOptionError` if the network does not support an option.
    """
    return load_network(checkpoint, options, options.backbone).backbone(options)


def load_backbone(
    checkpoint: str | Path = BUILTIN,
    steps: Sequence[int] | None = None,
    blocks: Sequence[int] | None = None,
    **options: Any,
) -> Backbone:
    """Load a network and make ready to record activations of its blocks.

    Parameters
    ----------
    checkpoint : path or str
        See `open_backbone`; by default the one that comes with dseg.
    steps, blocks : sequence of int, optional
    **options
        The other fields of `networks.options.BackboneOptions`, such as ``size=256``.

    Returns
    -------
    Backbone

    Raises
    ------
    InputError
        See `open_backbone`.
    """
    return open_backbone(checkpoint, BackboneOptions(steps=steps, blocks=blocks, **options))
