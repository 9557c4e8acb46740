"""The best few sets of layers, cross-validated by the ensemble that would be fitted on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...classify.evaluation.estimates import IouEstimate
from ...classify.evaluation.intervals import Interval, bootstrap_mean_iou
from ...store.read.protocol import Features
from ...store.read.reader import FeatureStore
from ..console.progress import Part, Progress
from ..inputs.labelled_pixels import Labelled, read_labelled
from ..training.cross_validation import Folds, score_folds
from ..training.holdout import Scores, Setting
from ..training.options import TrainingOptions
from .config import Confirmed, SelectConfig
from .layer_sets import LayerSet

__all__ = ["Confirmation", "by_class", "confirm_sets", "setting_of"]


@dataclass(frozen=True)
class Confirmation:
    """The scores of one set.

    Parameters
    ----------
    found : IouEstimate
        Of all pixels of the label maps.
    interval : Interval
        Of the mIoU, over images.
    classes : tuple of str
    """

    found: IouEstimate
    interval: Interval
    classes: tuple[str, ...]

    def beside(self, best: "Confirmation") -> Confirmed:
        """Return them for the report."""
        return Confirmed(
            mean_iou=self.found.mean_iou,
            interval=(self.interval.low, self.interval.high),
            iou=by_class(self.classes, self.found.iou),
            behind=best.found.mean_iou - self.found.mean_iou,
            error=best.found.error_of_gain(self.found),
        )


def by_class(classes: Sequence[str], iou: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the IoU of each class by its name, None where there is none."""
    values = (None if np.isnan(value) else float(value) for value in iou)
    return dict(zip(classes, values, strict=True))


def setting_of(
    config: SelectConfig, features: Features, labelled: Labelled, device: torch.device
) -> Setting:
    """Return what the trials of one set share."""
    options = TrainingOptions(
        members=config.members,
        max_steps=max(1, config.max_steps),
        memory=config.memory,
        seed=config.seed,
    )
    return Setting(features, labelled, options, options.bytes_allowed(device), device)


def confirm_sets(
    config: SelectConfig,
    sets: Mapping[str, LayerSet],
    first: FeatureStore,
    labelled: Labelled,
    folds: Folds,
    device: torch.device,
    progress: Progress,
) -> list[Confirmation]:
    """Train the ensemble on all folds but one and score it on that one, for each and each set.

    Parameters
    ----------
    config : SelectConfig
    sets : mapping
        By what each is called meanwhile.
    first : FeatureStore
    labelled : Labelled
        On the rows of that store.
    folds : tuple of tuples of str
    device : torch.device
    progress : Progress

    Raises
    ------
    DsegError
        If features are damaged, or the memory is too little.
    """
    found = []
    for title, chosen in sets.items():
        features, mine = chosen.features, labelled
        if chosen.stores[0] is not first:  # its rows may have another shape
            stems, ignore = labelled.images, config.ignore
            mine = read_labelled(features, config.labels, stems, ignore, Progress())
        setting = setting_of(config, features, mine, device)
        found.append(_cross_validated(setting, folds, Part(progress, title)))
    return found


def _cross_validated(setting: Setting, folds: Folds, progress: Progress) -> Confirmation:
    every = Scores.joined(score_folds(setting, folds, progress))
    interval = bootstrap_mean_iou(every.counts, every.ignore, seed=setting.options.seed)
    counts = every.counts[:, :-1, :-1].astype(np.float64)
    if 0 <= every.ignore < counts.shape[1]:
        counts[:, every.ignore] = 0
    found = IouEstimate(counts)
    progress.say(f"mIoU {found.mean_iou:.3f} on held-out images")
    return Confirmation(found, interval, setting.labelled.scored.names)
