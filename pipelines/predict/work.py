"""The masks of some images: segmented, encoded and written behind the network.

Threads read and decode ahead of the network and the ensemble, and encode and write the files of
finished predictions behind them. Files get their final names in the order of the images.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ...classify.inference.prediction import Prediction
from ...store.errors import DsegError, InputError, WriteError
from ...store.shared_work import SharedWork
from ...store.urls.errors import UrlError
from ..features.inference import ahead
from ..features.sources import Segmentable, Source
from ..masks.mask_folder import MaskFolder, StagedFiles
from ..masks.training_set import LEARNT_KEY, TrainingSet

__all__ = ["ImageOutcome", "MaskWork"]

# Encoding a PNG takes about as long as a GPU needs for the next mask. At most two finished
# predictions, which may be large (probabilities), wait for a writer.
_WRITERS, _MAX_WAITING = 2, 2
# Not the fault of an image: a wrong call, a lost connection, a full disk.
_ENDING = (InputError, UrlError, WriteError)


@dataclass(frozen=True)
class ImageOutcome:
    """What became of an image, and its prediction until that is written.

    Parameters
    ----------
    name, stem : str
    sha256 : bytes
        Of its file.
    prediction : Prediction, optional
    staged : StagedFiles, optional
        None if nothing was written: its mask was there already, or there is a reason.
    reason : str, optional
        Why it could not be used.
    """

    name: str
    stem: str
    sha256: bytes = b""
    prediction: Prediction | None = None
    staged: StagedFiles | None = None
    reason: str | None = None


@dataclass(frozen=True)
class MaskWork:
    """What turns images into files of masks.

    Parameters
    ----------
    source : Source
        Of the images.
    segment : callable
        Returns the prediction of an image.
    files : MaskFolder
    training_set : TrainingSet
        The images that the model was trained on.
    """

    source: Source
    segment: Callable[[Segmentable], Prediction]
    files: MaskFolder
    training_set: TrainingSet

    def shared(
        self, shared: SharedWork, stems: Sequence[str], say: Callable[[str], None]
    ) -> Generator[ImageOutcome]:
        """Do some images, but those that other runs have begun; yield the outcome of each.

        Parameters
        ----------
        shared : SharedWork
        stems : sequence of str
        say : callable
            Called with a message when it waits for another run.
        """

        def is_done(stem: str, sha256: bytes) -> bool:
            return not shared.begin(stem, partial(self.files.is_done_by_now, stem, sha256))

        def work(some: Sequence[str]) -> Generator[ImageOutcome]:
            for outcome in self.over(some, is_done):
                shared.end(outcome.stem)
                if outcome.stem not in shared.elsewhere:
                    yield outcome

        yield from work(stems)
        while shared.elsewhere:
            for stem in shared.left(say):
                yield from work([stem])

    def over(
        self, stems: Sequence[str], is_done: Callable[[str, bytes], bool]
    ) -> Generator[ImageOutcome]:
        """Do some images; yield the outcome of each.

        Parameters
        ----------
        stems : sequence of str
        is_done : callable
            Says of a stem and a sha256 whether the image is left out.
        """
        segmented = map(self._segmented, self.source.images(stems, is_done))
        for outcome in ahead(self._staged, segmented, _WRITERS, limit=_MAX_WAITING):
            yield self._committed(outcome)

    def _segmented(self, image: Segmentable | str) -> ImageOutcome:
        """Return the prediction of an image, or why there is none."""
        if isinstance(image, str):
            return ImageOutcome(image, image)
        try:
            prediction = self.segment(image)
        except _ENDING:
            raise
        except DsegError as error:
            return ImageOutcome(image.name, image.stem, reason=str(error))
        return ImageOutcome(image.name, image.stem, image.sha256, prediction)

    def _staged(self, outcome: ImageOutcome) -> ImageOutcome:
        """Write a prediction, if there is one, under temporary names, and drop it from memory."""
        if outcome.prediction is None:
            return outcome
        try:
            staged = self.files.stage(
                outcome.stem, outcome.name, outcome.sha256, outcome.prediction
            )
        except _ENDING:
            raise
        except DsegError as error:
            return replace(outcome, prediction=None, reason=str(error))
        learnt_from = self.training_set.has(outcome.stem, outcome.sha256.hex())
        if learnt_from is not None:
            staged = replace(staged, record={**staged.record, LEARNT_KEY: learnt_from})
        return replace(outcome, prediction=None, staged=staged)

    def _committed(self, outcome: ImageOutcome) -> ImageOutcome:
        """Give the files of an image their final names."""
        if outcome.staged is None:
            return outcome
        try:
            self.files.commit(outcome.staged)
        except _ENDING:
            raise
        except DsegError as error:
            return replace(outcome, reason=str(error))
        return outcome
