"""What a run of ``dseg select`` will take, from a few fits, steps and reads."""

from typing import Any

from ...classify.evaluation.linear_probe import seconds_per_fit
from ..training.cross_validation import others
from ..training.timing import masks_seconds, reading_seconds
from .confirm import setting_of
from .task import SelectTask

__all__ = ["estimated"]

_TRIED = 0.15  # of all layers, from the third on: see `forward_selection`
_SETS = 4  # that are compared, all layers among them


def estimated(task: SelectTask) -> dict[str, Any]:
    """Return of a `SelectSummary` what the search and confirming will take.

    Which layers will be chosen is not known, so it is right to within a factor of two or so. Timing
    the network takes the memory of a row of `dseg extract`, if that is more.
    """
    layers, folds = len(task.names), len(task.folds)
    most = min(task.config.most, layers)
    n_classes = len(task.labelled.classes)
    training = task.plan.per_image * len(task.labelled.images) * (folds - 1) // folds
    a_layer = seconds_per_fit(training, n_classes, 1)
    # a fit's time is nearly proportional to its channels
    tries = layers + 2 * (layers - 1) + sum(_TRIED * layers * size for size in range(3, most + 1))
    reading, ensemble, taken = _of_ensemble(task)
    probe = reading + tries * folds * a_layer / task.plan.workers
    return {
        "probe_seconds": probe,
        "ensemble_seconds": ensemble,
        "seconds": probe + ensemble,
        "memory": max(taken, task.plan.memory),
    }


def _of_ensemble(task: SelectTask) -> tuple[float, float, int]:
    """Return the seconds of reading all rows once, those of confirming, and its bytes."""
    every = task.labelled.images
    stems = others(task.folds, task.folds[0])
    some = task.set_of(task.names[: task.config.most]).features
    seconds = []
    for features in (task.features, some):
        training = setting_of(task, features, task.labelled).training(stems)
        a_fold = reading_seconds(training) + training.steps * training.seconds_a_step()
        seconds.append(len(task.folds) * a_fold + masks_seconds(training, every))
        if features is task.features:
            reading, taken = reading_seconds(training), training.taken
    if not task.config.max_steps:
        return reading, 0.0, 0
    return reading, seconds[0] + (_SETS - 1) * seconds[1], taken
