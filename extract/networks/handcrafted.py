"""No network: classical filters, colour and position, as a store's only or first features."""

from collections.abc import Mapping

from torch import Tensor

from ...store.errors import InputError
from ..checkpoints.card import CARD, Card
from ..checkpoints.opening import Checkpoint
from ..checkpoints.state_dict import digest
from .base import LoadedNetwork, NetworkBackbone
from .defaults import choose_size
from .options import BackboneOptions, CheckpointOptions

__all__ = ["KINDS", "HandcraftedBackbone", "LoadedHandcrafted", "load", "matches"]

KINDS: Mapping[str, str] = {"handcrafted": "no network"}


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if this is such a folder, else None."""
    named = checkpoint.config.get("_class_name") == "HandcraftedLayers"
    return "handcrafted" if named else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> "LoadedHandcrafted":
    """Return what the folder's card recommends.

    Raises
    ------
    InputError
        If an option of a network is given.
    """
    options.refuse_all_but((), "it has no network")
    return LoadedHandcrafted(
        kind="handcrafted",
        source=checkpoint.source,
        sha256=digest({"config": checkpoint.path / "config.json"}),
        architecture={},
        size=None,
        card=Card.read(checkpoint.path / CARD),
        weights=checkpoint.weights,
    )


class LoadedHandcrafted(LoadedNetwork):
    """Layers that need no network."""

    def backbone(self, options: BackboneOptions) -> "HandcraftedBackbone":
        """Return the backbone that computes them."""
        return HandcraftedBackbone(self, options)


class HandcraftedBackbone(NetworkBackbone):
    """Classical filters, colour and position alone.

    Parameters
    ----------
    loaded : LoadedHandcrafted
    options : BackboneOptions

    Raises
    ------
    InputError
        If neither is wanted; an `UnsupportedOptionError` for an option of a network.
    """

    def __init__(self, loaded: LoadedHandcrafted, options: BackboneOptions) -> None:
        of_networks = ("steps", "blocks", "precision", "seed", "draws", "flip")
        options.refuse(of_networks, "it has no network")
        row_shape = choose_size(options.size, loaded.card.size, 1)
        super().__init__(loaded, options, (), row_shape, inputs=False)
        if not self.layers:
            raise InputError(
                f"'{loaded.source}' has filters, colour and position only: leave out --no-filters "
                "or --no-pixels"
            )

    def _activations(self, x: Tensor) -> list[Tensor]:
        return []
