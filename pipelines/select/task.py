"""A run of ``dseg select``, checked and prepared before any feature is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...extract.networks.devices import choose_device
from ...store.errors import InputError
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ...store.read.view import StorePart, join_features, layer_names, store_parts
from ..console.progress import Progress
from ..inputs.image_list import read_list
from ..inputs.labelled_pixels import Labelled, read_labelled
from ..training.cross_validation import Folds, deal, others
from ..training.memory import default_memory
from .config import SelectConfig
from .layer_sets import LayerSet
from .report import check_report_folder
from .sample import SamplePlan

__all__ = ["SelectTask", "prepare"]

_FOLDS = 5


@dataclass(frozen=True)
class SelectTask:
    """What one run compares, on what, and with what means.

    Parameters
    ----------
    config : SelectConfig
    stores : tuple of StorePart
        The networks.
    features : Features
        Of all stores.
    names : tuple of str
        Of its layers, in feature order.
    labelled : Labelled
    folds : tuple of tuples of str
    plan : SamplePlan
    device : torch.device
    """

    config: SelectConfig
    stores: tuple[StorePart, ...]
    features: Features
    names: tuple[str, ...]
    labelled: Labelled
    folds: Folds
    plan: SamplePlan
    device: torch.device

    def set_of(self, names: Sequence[str]) -> LayerSet:
        """Return some of the layers."""
        return LayerSet.of(self.stores, names)

    @property
    def held_out(self) -> list[list[int]]:
        """The images of each fold, by their places among the labelled ones."""
        place = {stem: number for number, stem in enumerate(self.labelled.images)}
        return [[place[stem] for stem in fold] for fold in self.folds]


def prepare(config: SelectConfig, progress: Progress) -> SelectTask:
    """Open stores, read labels, deal folds, plan the memory.

    Raises
    ------
    InputError
        If anything does not fit, or there are too few layers, images or bytes.
    """
    device = choose_device(config.device)
    wanted = None if config.list_file is None else read_list(config.list_file)
    files = [FeatureStore.open(path) for path in config.stores]
    stores = tuple(store_parts(files))
    features, names = join_features(files), layer_names([store.spec for store in files])
    check_report_folder(config.out, config.overwrite)
    if len(names) < 2:
        raise InputError(
            f"{features.where} has a single layer, '{names[0]}': extract more --steps and "
            "--blocks to choose from"
        )
    labelled = read_labelled(
        features, config.labels, wanted, config.ignore, progress, unreadable=config.unreadable
    )
    folds = _folds(config, labelled)
    memory = default_memory(device) if config.memory is None else config.memory
    images = len(labelled.images)
    plan = SamplePlan.of(features, labelled, len(folds), config.most, memory)
    progress.say(
        f"{len(names)} layers, {features.spec.dims} channels; {images} images in {len(folds)} "
        f"folds, up to {plan.per_image} pixels of each, {plan.memory / 1e6:.0f} MB"
    )
    return SelectTask(config, stores, features, names, labelled, folds, plan, device)


def _folds(config: SelectConfig, labelled: Labelled) -> Folds:
    """Deal the images; refuse where what is left to learn from has one class only."""
    images = len(labelled.images)
    if images < 2:
        raise InputError(
            "only one labelled image: layers are compared on held-out images, so at least "
            "two are needed"
        )
    k = min(_FOLDS, images) if config.folds is None else config.folds
    folds = deal(labelled, k, config.seed)
    for held_out in folds:
        labelled.of(others(folds, held_out))
    return folds
