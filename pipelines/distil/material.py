"""What a run learns from: examples to train on, labelled ones beside them, and those held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from ...classify.labels.classes import Classes
from ...distil.data.examples import Example, ImageFile, LabelTarget
from ...distil.student.view import View
from ...extract.images.reading_spec import ReadingSpec
from ...pretrain.train.heldout_loss import split
from ...store.errors import InputError
from ..console.progress import Progress
from .config import DistilConfig
from .sources import Labelled, LabelledImage

__all__ = ["Kind", "Material", "Origin", "dealt", "material_of", "reading_settings", "view_of"]

_DEFAULT_SIDE = 256  # pixels of the longer side at which a student sees images


@dataclass(frozen=True)
class Kind:
    """What all images of a run have in common.

    Parameters
    ----------
    classes : Classes
    view : View
    reading : ReadingSpec
        How image files are read.
    teacher : mapping
        What the student learns from; plain JSON values.
    against : str
        What held-out masks are compared with.
    digest : str
        Of the images.
    """

    classes: Classes
    view: View
    reading: ReadingSpec
    teacher: Mapping[str, Any]
    against: str
    digest: str

    def settings(self, labelled: Labelled) -> dict[str, Any]:
        """Return what a run must keep when it goes on."""
        return {
            "teacher": self.teacher["fingerprint"],
            "view": self.view.to_dict(),
            **reading_settings(self.reading),
            "images_sha256": self.digest,
            "labels_sha256": labelled.digest,
        }


def reading_settings(reading: ReadingSpec) -> dict[str, Any]:
    """Return what of how images are read a run must keep; plain JSON values."""
    return {"white": reading.white} | reading.to_dict()


class Origin(Protocol):
    """Images to learn from, before their targets are made."""

    @property
    def kind(self) -> Kind:
        """What they have in common."""

    @property
    def labelled(self) -> Labelled:
        """The labelled images beside them."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Why images cannot be used, by name."""

    @property
    def teaching(self) -> Mapping[str, Any]:
        """What soft labels depend on besides the image; plain JSON values."""

    @property
    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Height and width of each image, by stem."""

    def some(self, stems: Sequence[str]) -> Self:
        """Return these images alone."""

    def missing(self, soft: Path) -> list[str]:
        """Return the stems of the images whose soft labels are still to be made in a folder."""

    def examples(
        self, soft: Path, progress: Progress
    ) -> tuple[dict[str, list[Example]], dict[str, str]]:
        """Return the examples of each image by stem, and why images are left out, by name.

        Soft labels that are missing in the folder are made.

        Raises
        ------
        DsegError
            If no image can be used, or soft labels cannot be written.
        """


@dataclass(frozen=True)
class Material:
    """What a run learns from.

    Parameters
    ----------
    kind : Kind
    pairs, labelled, held_out : sequence of Example
        Of the source; labelled images to learn from too; those that the best weights are chosen by.
    images : int
        Of the source that are learnt from; more examples where they are cut into tiles.
    held_out_images : int
    against : str
        What held-out masks are compared with.
    extra : mapping
        The labelled images, as a model of `dseg fit` keeps them.
    settings : mapping
        What a run must keep when it goes on.
    failed : mapping
        Why images are left out, by name.
    """

    kind: Kind
    pairs: Sequence[Example]
    labelled: Sequence[Example]
    held_out: Sequence[Example]
    images: int
    held_out_images: int
    against: str
    extra: Mapping[str, Any]
    settings: Mapping[str, Any]
    failed: Mapping[str, str]

    @property
    def labelled_images(self) -> int:
        """Labelled images that are learnt from."""
        return len({example.image for example in self.labelled})


def view_of(config: DistilConfig, tile: int | None = None) -> View:
    """Return how the student sees images; ``tile`` is the side of a teacher's tiles."""
    if tile is not None:
        return View(config.size or tile, "tile")
    return View(config.size or _DEFAULT_SIDE)


def dealt(config: DistilConfig, count: int, labelled: Labelled) -> tuple[list[int], list[int]]:
    """Return which of the images are learnt from, and which are held out, by number.

    Raises
    ------
    InputError
        If the paper's recipe has no labelled images to hold out instead.
    """
    if config.recipe != "paper":
        return split(count, config.seed)
    if not labelled.images:
        raise InputError(
            "--recipe paper chooses the best epoch by the mIoU on labelled images, but none "
            "is given: give the folder of their label maps after the source"
        )
    return list(range(count)), []


def material_of(config: DistilConfig, origin: Origin, soft: Path, progress: Progress) -> Material:
    """Make the targets that are missing, and deal the examples to training and held-out ones.

    Raises
    ------
    DsegError
        As `Origin.examples` and `dealt` do.
    """
    kind, labelled = origin.kind, origin.labelled
    dealt(config, 0, labelled)  # before the teacher begins
    examples, failed = origin.examples(soft, progress)
    stems = list(examples)
    seen, out = dealt(config, len(stems), labelled)
    beside = [e for image in labelled.images for e in _of_labelled(image, kind, labelled.ignore)]
    held_out, against = [e for number in out for e in examples[stems[number]]], kind.against
    if config.recipe == "paper":
        held_out, beside, against = beside, [], "label maps"
    return Material(
        kind=kind,
        pairs=[e for number in seen for e in examples[stems[number]]],
        labelled=beside,
        held_out=held_out,
        images=len(seen),
        held_out_images=len({e.image for e in held_out}),
        against=against,
        extra={
            "images": [image.stem for image in labelled.images],
            "images_sha256": [image.sha256 for image in labelled.images],
        },
        settings=kind.settings(labelled),
        failed={**origin.refused, **failed},
    )


def _of_labelled(image: LabelledImage, kind: Kind, ignore: int) -> list[Example]:
    picture, geometry = ImageFile(image.image, kind.reading), kind.view.geometry(image.size)
    target = LabelTarget(image.label.read, ignore)
    return [Example(picture, geometry, tile, target) for tile in range(len(geometry.offsets))]
