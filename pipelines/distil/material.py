"""What a run learns from: examples to train on, labelled ones beside them, and those held out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...classify.labels.classes import Classes
from ...distil.data.examples import Example, LabelTarget
from ...distil.run.folder import StudentFolder
from ...distil.student.view import View
from ...extract.images.files import find_images
from ...extract.images.levels import FULL
from ...pretrain.train.heldout_loss import split
from ...store.errors import DsegError, InputError
from ..console.progress import Progress
from ..inputs.image_list import read_list
from ..inputs.image_survey import report_skipped_files
from ..masks.mask_folder import fingerprint
from ..masks.mask_model import ImageOptions
from ..masks.open_model import open_mask_model
from .config import DistilConfig
from .sources import Labelled, LabelledImage, read_labelled, unlabelled
from .synthetic import SyntheticFolder
from .teacher import SoftLabels

__all__ = ["DEFAULT_SIDE", "Material", "real_material", "synthetic_material"]

DEFAULT_SIDE = 256
"""Pixels of the longer side at which a student sees images."""

_DEFAULT_MODEL = Path("model")

Check = Callable[[Classes, Mapping[str, Any]], object]
"""Refuses a folder with a run of other settings, before the teacher begins."""


@dataclass(frozen=True)
class Material:
    """What a run learns from.

    Parameters
    ----------
    classes : Classes
    view : View
    white : int
    pairs, labelled, held_out : sequence of Example
        Of the source; labelled images to learn from too; those that the best weights are chosen by.
    images : int
        Of the source that are learnt from; more examples where they are cut into tiles.
    held_out_images : int
    against : str
        What held-out masks are compared with.
    teacher : mapping
        What the student learns from; plain JSON values.
    extra : mapping
        The labelled images, as a model of `dseg fit` keeps them.
    settings : mapping
        What a run must keep when it goes on.
    failed : mapping
        Why images are left out, by name.
    """

    classes: Classes
    view: View
    white: int
    pairs: Sequence[Example]
    labelled: Sequence[Example]
    held_out: Sequence[Example]
    images: int
    held_out_images: int
    against: str
    teacher: Mapping[str, Any]
    extra: Mapping[str, Any]
    settings: Mapping[str, Any]
    failed: Mapping[str, str]


def real_material(
    config: DistilConfig,
    folder: StudentFolder,
    device: torch.device,
    check: Check,
    progress: Progress,
) -> Material:
    """Return real images with a teacher's soft labels, made where they are missing.

    Raises
    ------
    InputError
        If source, labels and model do not fit.
    DsegError
        If no image can be used, or soft labels cannot be written.
    """
    model = config.model or _DEFAULT_MODEL
    if not model.is_dir():
        raise InputError(
            f"'{config.source}' is a folder of images without labels, so a student needs a "
            f"teacher, but there is no model '{model}': give one of `dseg fit` with --model"
        )
    teacher = open_mask_model(model, device)
    view = _view(config, teacher.tile)
    white = config.white or teacher.white
    labelled = _labelled(config, teacher.classes, f"the model '{model}'", progress)
    images = unlabelled(config, labelled.images, progress)
    soft, known_as = SoftLabels(folder.soft_labels, view), fingerprint(model)
    about = {"source": str(model), "fingerprint": known_as, "members": teacher.members}
    kind = _Kind(teacher.classes, view, white, about, "the teacher's masks", images.digest)
    check(kind.classes, kind.settings(labelled))
    folder.claim_soft_labels({"teacher": known_as, "view": view.to_dict(), "white": white})
    options = ImageOptions(config.checkpoint, config.backbone, white=config.white)
    source = teacher.images(images.files, options, progress)
    failed = dict(images.refused) | soft.make(teacher, source, images, progress)
    examples = soft.examples(images, white)
    if not examples:
        raise DsegError(
            f"the teacher could segment none of the {len(images.stems)} images. The first error: "
            f"{next(iter(failed.values()), 'unknown')}"
        )
    return _dealt(config, kind, examples, labelled, failed)


def synthetic_material(
    config: DistilConfig, folder: StudentFolder, check: Check, progress: Progress
) -> Material:
    """Return the pairs of a synthetic folder, with real labelled images beside them.

    Raises
    ------
    InputError
        If the folder is not as described, or labels do not fit.
    """
    if config.model is not None:
        raise InputError(
            f"'{config.source}' is a synthetic folder, which has labels already: leave out --model"
        )
    synthetic = SyntheticFolder(config, progress)
    if config.labels is not None and config.images is None:
        raise InputError(
            "label maps of real images were given, but the source is a synthetic folder: give the "
            "folder of the real images with --images"
        )
    owner = f"the synthetic folder '{config.source}'"
    labelled = _labelled(config, synthetic.classes, owner, progress)
    view, white = _view(config, None), config.white or FULL
    digest = synthetic.pairs.digest
    about = {"source": str(config.source), "fingerprint": digest}
    kind = _Kind(synthetic.classes, view, white, about, "synthetic labels", digest)
    check(kind.classes, kind.settings(labelled))
    folder.claim_soft_labels({"teacher": digest, "view": view.to_dict()})
    soft = SoftLabels(folder.soft_labels, view)
    examples = synthetic.examples(view, soft, config.ignore, progress)
    return _dealt(config, kind, examples, labelled, {})


def _view(config: DistilConfig, tile: int | None) -> View:
    if tile is not None:
        return View(config.size or tile, "tile")
    return View(config.size or DEFAULT_SIDE)


def _labelled(config: DistilConfig, classes: Classes, owner: str, progress: Progress) -> Labelled:
    """Return the labelled images, if any are given."""
    if config.labels is None:
        unused = [
            name
            for name, value in (("--images", config.images), ("--labelled", config.labelled_file))
            if value is not None
        ]
        if unused:
            raise InputError(f"{unused[0]} is about label maps: give their folder after the source")
        return Labelled()
    files = find_images([config.images or config.source])
    if config.images is not None:
        report_skipped_files(files, progress)
    wanted = None if config.labelled_file is None else read_list(config.labelled_file)
    return read_labelled(files, config.labels, classes, owner, config, progress, wanted=wanted)


@dataclass(frozen=True)
class _Kind:
    """What `real_material` and `synthetic_material` know of their own."""

    classes: Classes
    view: View
    white: int
    teacher: Mapping[str, Any]
    against: str
    digest: str  # of the images

    def settings(self, labelled: Labelled) -> dict[str, Any]:
        """Return what a run must keep when it goes on."""
        return {
            "teacher": self.teacher["fingerprint"],
            "view": self.view.to_dict(),
            "white": self.white,
            "images_sha256": self.digest,
            "labels_sha256": labelled.digest,
        }


def _dealt(
    config: DistilConfig,
    kind: _Kind,
    examples: Mapping[str, list[Example]],
    labelled: Labelled,
    failed: Mapping[str, str],
) -> Material:
    """Deal the examples to training and held-out ones."""
    beside = [e for image in labelled.images for e in _of_labelled(image, kind, config.ignore)]
    stems, against = list(examples), kind.against
    seen, out = split(len(stems), config.seed)
    if config.recipe == "paper":
        if not beside:
            raise InputError(
                "--recipe paper chooses the best epoch by the mIoU on labelled images, but none "
                "is given: give the folder of their label maps after the source"
            )
        seen, out, against = list(range(len(stems))), [], "label maps"
    held_out = [e for number in out for e in examples[stems[number]]]
    if config.recipe == "paper":
        held_out, beside = beside, []
    pairs = [e for number in seen for e in examples[stems[number]]]
    shas = [image.sha256 for image in labelled.images]
    return Material(
        classes=kind.classes,
        view=kind.view,
        white=kind.white,
        pairs=pairs,
        labelled=beside,
        held_out=held_out,
        images=len(seen),
        held_out_images=len({e.image for e in held_out}),
        against=against,
        teacher=kind.teacher,
        extra={"images": [image.stem for image in labelled.images], "images_sha256": shas},
        settings=kind.settings(labelled),
        failed=failed,
    )


def _of_labelled(image: LabelledImage, kind: _Kind, ignore: int) -> list[Example]:
    geometry, target = kind.view.geometry(image.size), LabelTarget(image.label, ignore)
    tiles = range(len(geometry.offsets))
    return [Example(image.image, geometry, tile, target, kind.white) for tile in tiles]
