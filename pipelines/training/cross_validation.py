"""``dseg fit --folds``: each image predicted by an ensemble that has not learnt from it.

The labelled images are dealt into folds; for each an ensemble is trained on the others, in the way
of the model that is to be made, and its masks of the fold's images are scored. All held-out images
together give the mIoU, with an interval over them, and the temperature of the probabilities.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from ...classify.evaluation.calibration import Calibration, PixelSample, calibrate
from ...classify.evaluation.intervals import Interval, bootstrap_mean_iou
from ...classify.labels.folds import classes_in_one_fold, image_folds
from ..console.progress import Progress, SubProgress
from ..inputs.image_list import named
from ..inputs.labelled_pixels import Labelled
from .holdout import HeldOutImage, Learner, Scores, TrialSetup, trial

__all__ = [
    "CrossValidation",
    "Folds",
    "HeldOutCallback",
    "RESULTS_FILE",
    "check_folds",
    "cross_validate",
    "deal",
    "others",
    "sample_bytes",
    "score_folds",
    "warn_of_folds",
]

RESULTS_FILE = "cross_validation.json"
"""In the folder of held-out masks: what was found, `CrossValidation.to_dict`."""

# Of the probabilities by which the temperature is found; of few classes, so many pixels are enough.
_SAMPLE_BYTES, _MOST_SAMPLED = 2**25, 2**16

Folds = tuple[tuple[str, ...], ...]


class HeldOutCallback(Protocol):
    """Takes each held-out image while it is at hand."""

    def __call__(self, seen: HeldOutImage, fold: int) -> None:
        """Keep what is wanted of it."""


@dataclass(frozen=True)
class CrossValidation:
    """What was found on images that were held out.

    Parameters
    ----------
    seed : int
    scores : tuple of Scores
        Of each fold.
    classes : tuple of str
        Names of the scored classes.
    uncertainty : dict
        `image_uncertainty` by stem; None for a single member.
    interval : Interval
        Of the mIoU, over images.
    calibration : Calibration
        Of pixels of classes that had been learnt.
    """

    seed: int
    scores: tuple[Scores, ...]
    classes: tuple[str, ...]
    uncertainty: dict[str, float | None]
    interval: Interval
    calibration: Calibration

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as a model keeps them."""
        every = Scores.joined(self.scores).confusion.scores(self.classes)
        by_fold = [part.confusion.scores(self.classes) for part in self.scores]
        return {
            "folds": len(self.scores),
            "images": len(self.uncertainty),
            "seed": self.seed,
            "mean_iou": every["mean_iou"],
            "interval": [self.interval.low, self.interval.high],
            "interval_of": f"{100 * self.interval.level:.0f} %, percentile bootstrap over images",
            "pixel_accuracy": every["pixel_accuracy"],
            "iou": every["iou"],
            "fold_mean_iou": [found["mean_iou"] for found in by_fold],
            "calibration": self.calibration.to_dict(),
            "by_image": list(self._by_image()),
        }

    def _by_image(self) -> Iterator[dict[str, Any]]:
        for fold, part in enumerate(self.scores):
            for stem, alone in part.by_image:
                found = alone.scores(self.classes)
                del found["iou"]
                yield {"stem": stem, "fold": fold, **found, "uncertainty": self.uncertainty[stem]}


def deal(labelled: Labelled, k: int, seed: int) -> Folds:
    """Deal the labelled images into folds.

    Raises
    ------
    InputError
        If there cannot be so many.
    """
    folds = image_folds(labelled.counts_by_image, k, seed)
    return tuple(tuple(labelled.images[i] for i in fold) for fold in folds)


def warn_of_folds(labelled: Labelled, folds: Folds, progress: Progress) -> None:
    """Name the classes that no ensemble can have learnt when it is scored on them."""
    number = {stem: i for i, stem in enumerate(labelled.images)}
    held = [[number[stem] for stem in fold] for fold in folds]
    unlearnt = classes_in_one_fold(labelled.counts_by_image, held)
    if unlearnt:
        names = named(labelled.classes.names[c] for c in unlearnt)
        elsewhere = [c for c in unlearnt if _stands_elsewhere(labelled, folds, c)]
        few = (
            "; other images also have pixels of "
            f"{named(labelled.classes.names[c] for c in elsewhere)}"
        )
        few += f", but fewer than {labelled.facts.minimum_pixels} in each at the network's size"
        progress.warn(
            f"all training pixels of {names} are in the images of one fold, often in a "
            "single image: when that fold is held out, nothing is trained on them, and they "
            f"count as wrong{few if elsewhere else ''}"
        )


def _stands_elsewhere(labelled: Labelled, folds: Folds, c: int) -> bool:
    """Say whether label maps of several folds have a class, of which one fold's is learnt."""
    holding = {
        stem
        for stem, file in zip(labelled.images, labelled.facts.files, strict=True)
        if c in file.pixels
    }
    return sum(not holding.isdisjoint(fold) for fold in folds) > 1


def check_folds(setting: TrialSetup, folds: Folds) -> None:
    """Plan all trainings, so that what cannot be learnt is said before anything is.

    Raises
    ------
    InputError
        If what is left to learn from has one class only, or the memory is too small.
    """
    for fold in folds:
        setting.training(others(folds, fold))


def cross_validate(
    setting: TrialSetup,
    folds: Folds,
    progress: Progress,
    keep: HeldOutCallback | None = None,
    learn: Learner | None = None,
) -> CrossValidation:
    """Train on all folds but one and score on that one, for each.

    Parameters
    ----------
    setting : TrialSetup
        Its seed serves all folds.
    folds : tuple of tuples of str
        From `deal`.
    progress : Progress
    keep : callable, optional
    learn : callable, optional
        How to train; by default `TrialSetup.learn`.

    Raises
    ------
    DsegError
        As `check_folds`; also if features are damaged.
    """
    labelled, seed = setting.labelled, setting.options.seed
    uncertainty, samples = dict[str, float | None](), list[PixelSample]()

    def see(seen: HeldOutImage, fold: int) -> None:
        uncertainty[seen.image.stem] = seen.prediction.score
        samples.append(_sample(seen, fold))
        if keep is not None:
            keep(seen, fold)

    scores = score_folds(setting, folds, progress, see, _sampled_each(labelled), learn)
    every = Scores.joined(scores)
    return CrossValidation(
        seed,
        tuple(scores),
        labelled.scored.names,
        uncertainty,
        bootstrap_mean_iou(every.counts, labelled.ignore, seed=seed),
        calibrate(_of_learnt(PixelSample.joined(samples), labelled, folds)),
    )


def score_folds(
    setting: TrialSetup,
    folds: Folds,
    progress: Progress,
    keep: HeldOutCallback | None = None,
    sampled: int = 0,
    learn: Learner | None = None,
) -> list[Scores]:
    """Train on all folds but one and score on that one, for each; options as of `trial`."""
    scores = []
    for number, fold in enumerate(folds):
        part = SubProgress(progress, f"fold {number + 1}/{len(folds)}")
        seen = None if keep is None else partial(keep, fold=number)
        found = trial(
            setting, others(folds, fold), fold, part, seen=seen, sampled=sampled, learn=learn
        )
        part.say(f"mIoU {found.confusion.mean_iou():.3f} on {len(fold)} held-out images")
        scores.append(found)
    return scores


def others(folds: Folds, fold: Sequence[str]) -> list[str]:
    """Return the images of all other folds, to learn from."""
    return [stem for other in folds if other is not fold for stem in other]


def _sampled_each(labelled: Labelled) -> int:
    """Return of how many pixels an image the probabilities are kept."""
    most = min(_MOST_SAMPLED, _SAMPLE_BYTES // (4 * len(labelled.classes)))
    return max(1, most // len(labelled.images))


def sample_bytes(labelled: Labelled) -> int:
    """Return what is held of all images until the last fold is scored."""
    each = _sampled_each(labelled) * (4 * len(labelled.classes) + 24)  # class, weight, fold: 24
    counts = 2 * 8 * (len(labelled.scored) + 1) ** 2  # twice, when folds are joined
    return len(labelled.images) * (each + counts)


def _sample(seen: HeldOutImage, fold: int) -> PixelSample:
    probabilities = seen.prediction.sampled
    if probabilities is None:  # of an image without a labelled pixel
        probabilities = np.empty((0, 0), np.float32)
    y, n = seen.label.ravel()[seen.sample], len(seen.sample)
    weights = np.full(n, seen.labelled / max(1, n))
    return PixelSample(probabilities, y, weights, np.full(n, fold))


def _of_learnt(sample: PixelSample, labelled: Labelled, folds: Folds) -> PixelSample:
    """Return the pixels of classes that had been learnt; if there are none, all.

    The model itself has learnt every class. A class that all images of stand in one fold would
    only make the temperature higher, for nobody gave it a probability worth the name.
    """
    learnt = np.stack([labelled.of(others(folds, fold)).counts > 0 for fold in folds])
    known = learnt[sample.groups, sample.y]
    return sample.of(known) if known.any() else sample
