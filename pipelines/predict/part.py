"""A part of a prediction that a worker of a cluster does."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from ...extract.images.files import ImageFiles
from ...extract.networks.devices import choose_device
from ...store.shared_work import SharedWork
from ...store.urls.claims import claimed_place
from ...store.urls.location import Location
from ..cluster.once import once, one_at_a_time
from ..cluster.parts import refuse_unseen
from ..console.progress import Progress
from ..features.sources import ImageFilesSource, Source
from ..masks.mask_folder import MaskFolder, MaskOptions
from ..masks.open_model import open_mask_model
from ..masks.training_set import TrainingSet
from .config import PredictConfig, PredictSummary
from .work import ImageOutcome, MaskWork

__all__ = ["PartOutcome", "PredictPart", "predict_part"]

DOING = "dseg predict, model '{}'"
"""What a claim says of a run, of its model."""


@dataclass(frozen=True)
class PredictPart:
    """What a worker is told.

    Parameters
    ----------
    run : str
        Names the run.
    config : PredictConfig
        With absolute paths, and the sources given.
    options : MaskOptions
        Without images.
    fingerprint, key : str
        Of the model; of the run's claim.
    stems : tuple of str
    files : tuple of (str, path)
        Name and path of each image that masks are made of; none where its features are in a store.
    pictures : tuple of path
        Path of each image that an overlay is drawn on, where its features are in a store.
    """

    run: str
    config: PredictConfig
    options: MaskOptions
    fingerprint: str
    key: str
    stems: tuple[str, ...]
    files: tuple[tuple[str, Location], ...] = ()
    pictures: tuple[Location, ...] = ()

    def __len__(self) -> int:
        return len(self.stems)

    def singles(self) -> list[Self]:
        """Return parts of one image each."""
        return [self.some(slice(k, k + 1)) for k in range(len(self.stems))]

    def some(self, which: slice) -> Self:
        """Return the part of some of its images."""
        return replace(
            self,
            stems=self.stems[which],
            files=self.files[which],
            pictures=self.pictures[which],
        )

    def images(self) -> ImageFiles:
        """Return the images that masks are made of."""
        return ImageFiles("the images", dict(self.files))

    def pictures_by_stem(self) -> Mapping[str, Location] | None:
        """Return the images that overlays are drawn on."""
        if self.files:
            files = self.images()
            return {stem: files.files[name] for stem, name in files.by_stem.items()}
        if self.pictures:
            return dict(zip(self.stems, self.pictures, strict=True))
        return None


@dataclass
class PartOutcome:
    """What became of some images.

    Parameters
    ----------
    predicted, n_bytes : int
        Masks that were written, and the bytes of their files.
    unchanged : list of str
        Stems of those that were there already.
    failed : dict
        Reason by name of image.
    """

    predicted: int = 0
    n_bytes: int = 0
    unchanged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, image: ImageOutcome) -> None:
        """Add what became of one image."""
        if image.reason is not None:
            self.failed[image.name] = image.reason
        elif image.staged is None:
            self.unchanged.append(image.stem)
        else:
            self.predicted += 1
            self.n_bytes += image.staged.n_bytes

    def add_to(self, summary: PredictSummary, before: frozenset[str]) -> None:
        """Add it to what is told of the run.

        Parameters
        ----------
        summary : PredictSummary
        before : frozenset of str
            Stems of the masks that were there in the beginning: others are this run's, though a
            worker that was lost had written them.
        """
        anew = sum(stem not in before for stem in self.unchanged)
        summary.predicted += self.predicted + anew
        summary.unchanged += len(self.unchanged) - anew
        summary.n_bytes += self.n_bytes
        summary.failed |= self.failed


def predict_part(part: PredictPart) -> PartOutcome:
    """Do a part, in a worker.

    Raises
    ------
    DsegError
        If the worker does not see the files.
    """
    outcome, config = PartOutcome(), part.config
    with one_at_a_time():
        refuse_unseen(config.model, *config.sources[:1])
        work = once(part.run, lambda: _work(part))
        source = work.source
        if isinstance(source, ImageFilesSource):
            source = source.of(part.images())
        with claimed_place(config.out, part.key, DOING.format(config.model)) as claim:
            files = work.files.of_part(part.pictures_by_stem(), claim.exclusive)
            work = replace(work, source=source, files=files)
            with files.without_leftovers(), SharedWork.of(claim.take) as shared:
                for image in work.shared(shared, part.stems, lambda _: None):
                    outcome.add(image)
    return outcome


def _work(part: PredictPart) -> MaskWork:
    """Return what a worker makes once."""
    config = part.config
    model = open_mask_model(config.model, choose_device(config.device))
    source: Source
    if part.files:
        network = config.image_options
        source = model.images(part.images(), network, Progress())
    else:
        source = model.stores(config.sources)
    segmenter = model.segmenter(source, at="row" if part.options.paper else "image")
    options = replace(part.options, images=part.pictures_by_stem())
    return MaskWork(
        source,
        partial(segmenter, want_probabilities=part.options.probabilities),
        MaskFolder(config.out, options, model.classes, model.members, part.fingerprint),
        TrainingSet.of(model.extra, config.sources),
    )
