"""How an ensemble is trained, and on what: the options that `fit`, `curve` and `select` share."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

import torch

from ...classify.ensemble.recipes import Recipe
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ...store.read.view import join_features
from ...store.urls.location import Location
from ..inputs.unreadable import Unreadable
from .memory import default_memory

__all__ = ["StoreTraining", "TrainingOptions"]


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train, whatever on.

    Parameters
    ----------
    recipe : {"default", "paper"}
    members : int
    voting : {"majority", "mean"}
    max_steps : int
        Length of the default recipe.
    batch_size : int
    balance : float, optional
        How much more the pixels of rare classes count, 0 to 1; by default as the recipe says.
    reduce : int, optional
        Learn from so many channels, the principal components of all; 0: from all. By default as
        `default_dims` says, and from all by the published recipe.
    memory : int, optional
        Bytes to take above what the imports take; by default half of what is free.
    seed : int
    """

    recipe: Literal["default", "paper"] = "default"
    members: int = 10
    voting: Literal["majority", "mean"] = "majority"
    max_steps: int = 2000
    batch_size: int = 64
    balance: float | None = None
    reduce: int | None = None
    memory: int | None = None
    seed: int = 0

    @property
    def rule(self) -> Recipe:
        """The recipe."""
        return Recipe.paper() if self.recipe == "paper" else Recipe.default(self.max_steps)

    def bytes_allowed(self, device: torch.device) -> int:
        """Return the memory to take: as asked, else half of what is free now."""
        return default_memory(device) if self.memory is None else self.memory


@dataclass(frozen=True)
class StoreTraining(TrainingOptions):
    """Training on the labelled images of feature stores, as a command is asked for it.

    Parameters
    ----------
    stores : tuple of path
        The feature store, or several of the same images, whose features are joined.
    labels : path
        Folder of label maps.
    layers : tuple of str, optional
        The layers to learn from, by name (see `select_layers`); by default all.
    list_file : path, optional
        Stems of the images to take.
    ignore : int
        The id of pixels without a class.
    device : str, optional
    unreadable : {"stop", "skip"}
        What becomes of a labelled image whose features cannot be read.
    overwrite : bool
        Replace what an earlier run has written.
    dry_run : bool
        Only tell what would be done.
    """

    stores: tuple[Location, ...]
    labels: Location
    _: KW_ONLY
    layers: tuple[str, ...] | None = None
    list_file: Path | None = None
    ignore: int = 255
    device: str | None = None
    unreadable: Unreadable = "stop"
    overwrite: bool = False
    dry_run: bool = False

    @property
    def features(self) -> Features:
        """The features to learn from, opened."""
        return join_features([FeatureStore.open(path) for path in self.stores], self.layers)
