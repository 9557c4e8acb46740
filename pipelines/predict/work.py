"""The masks of some images: segmented, encoded and written behind the network.

Threads read and decode ahead of the network and the ensemble, and encode and write the files of
finished predictions behind them. Files get their final names in the order of the images.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ...classify.inference.prediction import Prediction
from ...store.errors import DsegError, InputError
from ...store.shared_work import SharedWork
from ...store.urls.errors import UrlError
from ..features.inference import ahead
from ..features.sources import Segmentable, Source
from ..masks.mask_folder import MaskFolder, StagedFiles
from ..masks.training_set import LEARNT_KEY, TrainingSet

__all__ = ["ImageOutcome", "SegmentImage", "write_masks", "write_shared"]

# Encoding a PNG takes about as long as a GPU needs for the next mask. At most two finished
# predictions, which may be large (probabilities), wait for a writer.
_WRITERS, _MAX_WAITING = 2, 2

SegmentImage = Callable[[Segmentable], Prediction]


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


def _segment(segment: SegmentImage, image: Segmentable | str) -> ImageOutcome:
    """Return the prediction of an image, or why there is none."""
    if isinstance(image, str):
        return ImageOutcome(image, image)
    try:
        prediction = segment(image)
    except (InputError, UrlError):
        raise  # a wrong call, a lost connection: it would fail for every image
    except DsegError as error:
        return ImageOutcome(image.name, image.stem, reason=str(error))
    return ImageOutcome(image.name, image.stem, image.sha256, prediction)


def write_shared(
    shared: SharedWork,
    stems: Sequence[str],
    source: Source,
    segment: SegmentImage,
    files: MaskFolder,
    training_set: TrainingSet,
    say: Callable[[str], None],
) -> Generator[ImageOutcome]:
    """Segment and write images, but those that other runs have begun; yield the outcome of each.

    Parameters
    ----------
    shared : SharedWork
    stems : sequence of str
    source : Source
        Of the images.
    segment : callable
    files : MaskFolder
    training_set : TrainingSet
    say : callable
        Called with a message when it waits for another run.
    """

    def is_done(stem: str, sha256: bytes) -> bool:
        return not shared.begin(stem, partial(files.is_done_by_now, stem, sha256))

    def work(some: Sequence[str]) -> Generator[ImageOutcome]:
        for outcome in write_masks(some, source, segment, files, training_set, is_done):
            shared.end(outcome.stem)
            if outcome.stem not in shared.elsewhere:
                yield outcome

    yield from work(stems)
    while shared.elsewhere:
        for stem in shared.left(say):
            yield from work([stem])


def write_masks(
    stems: Sequence[str],
    source: Source,
    segment: SegmentImage,
    files: MaskFolder,
    training_set: TrainingSet,
    is_done: Callable[[str, bytes], bool],
) -> Generator[ImageOutcome]:
    """Segment and write images; yield the outcome of each.

    Parameters
    ----------
    stems : sequence of str
    source : Source
        Of the images.
    segment : callable
    files : MaskFolder
    training_set : TrainingSet
    is_done : callable
        Says of a stem and a sha256 whether the image is left out.
    """
    segmented = map(partial(_segment, segment), source.images(stems, is_done))
    for outcome in ahead(
        partial(_stage, files, training_set), segmented, _WRITERS, limit=_MAX_WAITING
    ):
        yield _commit(files, outcome)


def _stage(files: MaskFolder, training_set: TrainingSet, outcome: ImageOutcome) -> ImageOutcome:
    """Write a prediction, if there is one, under temporary names, and drop it from memory."""
    if outcome.prediction is None:
        return outcome
    try:
        staged = files.stage(outcome.stem, outcome.name, outcome.sha256, outcome.prediction)
    except (InputError, UrlError):
        raise
    except DsegError as error:
        return replace(outcome, prediction=None, reason=str(error))
    learnt_from = training_set.has(outcome.stem, outcome.sha256.hex())
    if learnt_from is not None:
        staged = replace(staged, record={**staged.record, LEARNT_KEY: learnt_from})
    return replace(outcome, prediction=None, staged=staged)


def _commit(files: MaskFolder, outcome: ImageOutcome) -> ImageOutcome:
    """Give the files of an image their final names."""
    if outcome.staged is None:
        return outcome
    try:
        files.commit(outcome.staged)
    except UrlError:
        raise
    except DsegError as error:
        return replace(outcome, reason=str(error))
    return outcome
