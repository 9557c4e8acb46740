"""``dseg fit --self-train``: a second training, also on what the first is sure of elsewhere.

The ensemble labels images that nobody has labelled; where it is sure, class by class, its labels
are learnt beside the true ones (`classify.labels.pseudo_labels`). That may help, or make mistakes
firmer. So both ways are cross-validated on the labelled images, with the same folds, and the second
training is kept only if it is better there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.evaluation.intervals import share_improved
from ...classify.labels.label_maps import IGNORED
from ...classify.labels.pseudo_labels import Guess, pseudo_labels
from ...store.errors import InputError
from ...store.read.extended import ExtendedFeatures
from ...store.read.image_tables import StoredImage
from ...store.read.protocol import Features
from ...store.sampling.pixel_set import PixelSet
from ..console.progress import Progress, SubProgress
from ..features.sources import Segmentable, StoreSource
from ..inputs.labelled_pixels import Labelled
from ..masks.segmenter import Segmenter, segmented
from ..training.cross_validation import CrossValidation, Folds, cross_validate
from ..training.holdout import Scores, TrialSetup
from ..training.job import Training

__all__ = ["DEFAULT_FOLDS", "KEPT_FROM", "SelfTraining", "choose_photos"]

DEFAULT_FOLDS = 3
"""Where none are asked for: enough to decide."""

KEPT_FROM = 0.9
"""Share of resampled sets of images on which the second training must be better to be kept."""


def choose_photos(photos: Features, labelled: Labelled, store: Features, most: int) -> list[str]:
    """Return the stems of images that are learnt without labels: none of a labelled image.

    Parameters
    ----------
    photos : Features
        Of images without labels; may be the labelled images' own store.
    labelled : Labelled
    store : Features
        Of the labelled images.
    most : int
        Drawn evenly over the store, where there are more.

    Raises
    ------
    InputError
        If no image is left.
    """
    own = {image.stem: image for image in store.images}
    known = {own[stem].sha256 for stem in labelled.images}
    names = set(labelled.images)
    free = [
        image.stem
        for image in photos.images
        if image.complete and image.stem not in names and image.sha256 not in known
    ]
    if not free:
        raise InputError(
            f"--self-train {photos.where} has no complete image besides the labelled ones: give a "
            "store with other images of the same kind"
        )
    step = max(1.0, len(free) / most)
    return [free[int(n * step)] for n in range(min(most, len(free)))]


@dataclass
class SelfTraining:
    """Trains in two rounds, and finds whether the second helps.

    Parameters
    ----------
    setting : TrialSetup
        With the labelled images.
    photos : Features
        With the images without labels, of the same feature spec.
    stems : sequence of str
        Those to learn from.
    """

    setting: TrialSetup
    photos: Features
    stems: Sequence[str]
    _first: dict[tuple[str, ...], PixelEnsemble] = field(default_factory=dict, repr=False)

    def compared(
        self, folds: Folds, progress: Progress
    ) -> tuple[bool, CrossValidation, dict[str, Any]]:
        """Cross-validate both ways.

        Returns
        -------
        kept : bool
            Whether the second training is to be kept.
        results : CrossValidation
            Of the way that is.
        facts : dict
            What was found, plain JSON values, as a model keeps it.

        Raises
        ------
        DsegError
            As `cross_validate`; also if features of an image without labels are damaged.
        """
        before = cross_validate(
            self.setting, folds, SubProgress(progress, "labels"), learn=self._learn_first
        )
        part = SubProgress(progress, "self-training")
        after = cross_validate(self.setting, folds, part, learn=self._learn_second)
        better = self._share_improved(before, after)
        kept = better >= KEPT_FROM
        scores = [Scores.joined(found.scores).confusion.mean_iou() for found in (before, after)]
        facts = {
            "images": len(self.stems),
            "folds": len(folds),
            "mean_iou_before": scores[0],
            "mean_iou_after": scores[1],
            "better_in": better,
            "kept": kept,
        }
        return kept, after if kept else before, facts

    def _share_improved(self, before: CrossValidation, after: CrossValidation) -> float:
        first, second = (Scores.joined(found.scores).counts for found in (before, after))
        return share_improved(first, second, self.setting.labelled.ignore)

    def _learn_first(self, stems: Sequence[str], progress: Progress) -> PixelEnsemble:
        ensemble = self.setting.learn(stems, progress)
        self._first[tuple(stems)] = ensemble  # small beside the features: only weights
        return ensemble

    def _learn_second(self, stems: Sequence[str], progress: Progress) -> PixelEnsemble:
        first = self._first.pop(tuple(stems))
        return self.second(first, self.setting.labelled.of(stems), progress)

    def second(self, first: PixelEnsemble, labelled: Labelled, progress: Progress) -> PixelEnsemble:
        """Train on labelled pixels and on those that a first ensemble is sure of.

        Raises
        ------
        DsegError
            If the features of an image cannot be read, or a loss is not finite.
        """
        labels = self._pseudo_labels(first, labelled, progress)
        setting = self.setting
        store = ExtendedFeatures(setting.store, self.photos)
        more = _with_pseudo_labels(labelled, store, self._images(), labels)
        training = Training.of(
            store,
            more,
            setting.options,
            setting.memory,
            setting.device,
            setting.client,
            setting.beside,
        )
        return training.run(progress)

    def _images(self) -> list[StoredImage]:
        known = {image.stem: image for image in self.photos.images}
        return [known[stem] for stem in self.stems]

    def _pseudo_labels(
        self, ensemble: PixelEnsemble, labelled: Labelled, progress: Progress
    ) -> list[NDArray[np.uint16]]:
        """Return a label map of each image without labels, on its resized grid."""
        segmenter = Segmenter(ensemble, self.photos.spec, self.setting.device, at="row")
        guesses = []
        with progress.bar("guess", len(self.stems), "images") as advance:
            for image in StoreSource(self.photos).images(self.stems, lambda *_: False):
                assert isinstance(image, Segmentable)  # none is done already
                guesses.append(_guess(segmenter, image))
                advance(1)
        most, seed = labelled.pixels.n, self.setting.options.seed
        return pseudo_labels(guesses, len(labelled.classes), most, seed)


def _guess(segmenter: Segmenter, image: Segmentable) -> Guess:
    found = segmented(segmenter, image, want_probabilities=True, want_uncertainty=False)
    assert found.probabilities is not None  # asked for
    return Guess.of(found.probabilities)


def _with_pseudo_labels(
    labelled: Labelled,
    store: ExtendedFeatures,
    images: Sequence[StoredImage],
    labels: Sequence[NDArray[np.uint16]],
) -> Labelled:
    """Return labelled pixels with those of other images behind them.

    It serves to train: its ``images`` and ``facts`` are still those of the labelled images.
    """
    rows, numbers, places, y = list[int](), list[int](), [], []
    beyond = 1 + max(image.index for image in store.images)
    for image, label in zip(images, labels, strict=True):
        tiles = image.geometry.cut(label, IGNORED)
        for tile, grid in enumerate(tiles.reshape(len(tiles), -1)):
            rows.append(store.beyond(image.first_row + tile))
            numbers.append(beyond + image.index)
            places.append(np.flatnonzero(grid != IGNORED))
            y.append(grid[places[-1]].astype(np.uint16))
    pseudo = PixelSet(rows, numbers, places, store.spec.row_shape)
    return replace(
        labelled,
        pixels=labelled.pixels.followed_by(pseudo),
        y=np.concatenate([labelled.y, *y]),
    )
