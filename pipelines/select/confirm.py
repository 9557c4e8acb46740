"""The best few sets of layers, cross-validated by the ensemble that would be fitted on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...classify.evaluation.estimates import IouEstimate
from ...classify.evaluation.intervals import Interval, bootstrap_mean_iou
from ...classify.evaluation.metrics import by_class
from ...store.read.protocol import Features
from ..console.progress import Progress, SubProgress
from ..inputs.labelled_pixels import Labelled, read_labelled
from ..training.cross_validation import Folds, score_folds
from ..training.holdout import Scores, TrialSetup
from ..training.options import TrainingOptions
from .config import Confirmed
from .layer_sets import LayerSet
from .task import SelectTask

__all__ = ["Confirmation", "confirm_sets", "setting_of"]


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

    def compared_with(self, best: "Confirmation") -> Confirmed:
        """Return the scores for the report, with how far they are behind the best set's."""
        return Confirmed(
            mean_iou=self.found.mean_iou,
            interval=(self.interval.low, self.interval.high),
            iou=by_class(self.classes, self.found.iou),
            behind=best.found.mean_iou - self.found.mean_iou,
            error=best.found.difference_error(self.found),
        )


def setting_of(task: SelectTask, features: Features, labelled: Labelled) -> TrialSetup:
    """Return what the trials of one set share."""
    config = task.config
    options = TrainingOptions(
        members=config.members,
        max_steps=max(1, config.max_steps),
        memory=config.memory,
        seed=config.seed,
    )
    memory = options.bytes_allowed(task.device)
    return TrialSetup(features, labelled, options, memory, task.device)


def confirm_sets(
    task: SelectTask, sets: Mapping[str, LayerSet], progress: Progress
) -> list[Confirmation]:
    """Train the ensemble on all folds but one and score it on that one, for each and each set.

    Parameters
    ----------
    task : SelectTask
    sets : mapping
        By title.
    progress : Progress

    Raises
    ------
    DsegError
        If features are damaged, or the memory is too little.
    """
    found, config = [], task.config
    for title, chosen in sets.items():
        features, labelled = chosen.features, task.labelled
        if chosen.stores[0] is not task.stores[0]:  # its rows may have another shape
            stems = labelled.images
            labelled = read_labelled(features, config.labels, stems, config.ignore, Progress())
        setting = setting_of(task, features, labelled)
        found.append(_cross_validated(setting, task.folds, SubProgress(progress, title)))
    return found


def _cross_validated(setting: TrialSetup, folds: Folds, progress: Progress) -> Confirmation:
    every = Scores.joined(score_folds(setting, folds, progress))
    interval = bootstrap_mean_iou(every.counts, every.ignore, seed=setting.options.seed)
    counts = every.counts[:, :-1, :-1].astype(np.float64)
    if 0 <= every.ignore < counts.shape[1]:
        counts[:, every.ignore] = 0
    found = IouEstimate(counts)
    progress.say(f"mIoU {found.mean_iou:.3f} on held-out images")
    return Confirmation(found, interval, setting.labelled.scored.names)
