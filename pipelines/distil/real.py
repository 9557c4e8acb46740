"""Real images as what is learnt from: a teacher segments each once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import torch

from ...distil.data.examples import Example
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import DsegError, InputError
from ..console.progress import Progress
from ..features.sources import ImageFilesSource
from ..masks.mask_model import ImageOptions, MaskModel
from ..masks.open_model import open_mask_model
from ..masks.recipe import fingerprint
from .config import DistilConfig
from .material import Kind, reading_settings, view_of
from .sources import Labelled, Unlabelled, labelled_images, unlabelled
from .teacher import SoftLabels

__all__ = ["RealImages"]

_DEFAULT_MODEL = Path("model")


@dataclass(frozen=True)
class RealImages:
    """Real images, their labelled ones, and the teacher; see `material.Origin`.

    Parameters
    ----------
    kind : Kind
    labelled : Labelled
    images : Unlabelled
    teacher : MaskModel
    source : callable
        Returns the images as the teacher takes them; its network is opened the first time.
    """

    kind: Kind
    labelled: Labelled
    images: Unlabelled
    teacher: MaskModel
    source: Callable[[], ImageFilesSource]

    @classmethod
    def read(cls, config: DistilConfig, device: torch.device, progress: Progress) -> Self:
        """Read source, labels and model.

        Raises
        ------
        InputError
            If they do not fit.
        """
        model = config.model or _DEFAULT_MODEL
        if not model.is_dir():
            raise InputError(
                f"'{config.source}' is a folder of images without labels, so a student needs a "
                f"teacher, but there is no model '{model}': give one of `dseg fit` with --model"
            )
        teacher = open_mask_model(model, device)
        reading = _reading(config, teacher)
        owner = f"the model '{model}'"
        labelled = labelled_images(config, teacher.classes, owner, progress, reading)
        images = unlabelled(config, labelled.images, progress, reading)
        about = {
            "source": str(model),
            "fingerprint": fingerprint(model),
            "members": teacher.members,
        }
        kind = Kind(
            teacher.classes,
            view_of(config, teacher.tile),
            reading,
            about,
            "the teacher's masks",
            images.digest,
        )
        options = ImageOptions(
            config.checkpoint,
            config.backbone,
            white=config.white,
            most_pixels=config.max_pixels,
        )
        source = cache(partial(teacher.images, images.files, options, progress))
        return cls(kind, labelled, images, teacher, source)

    @property
    def refused(self) -> Mapping[str, str]:
        """Why images cannot be used, by name."""
        return self.images.refused

    @property
    def teaching(self) -> dict[str, Any]:
        """What soft labels depend on besides the image."""
        kind = self.kind
        return {
            "teacher": kind.teacher["fingerprint"],
            "view": kind.view.to_dict(),
            **reading_settings(kind.reading),
        }

    @property
    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """Height and width of each image, by stem."""
        return self.images.sizes

    def some(self, stems: Sequence[str]) -> Self:
        """Return these images alone."""
        sizes = {stem: self.images.sizes[stem] for stem in stems}
        return replace(self, images=replace(self.images, sizes=sizes))

    def missing(self, soft: Path) -> list[str]:
        """Return the stems of the images whose soft labels are still to be made in a folder."""
        return SoftLabels(soft, self.kind.view).missing(self.images)

    def examples(
        self, soft: Path, progress: Progress
    ) -> tuple[dict[str, list[Example]], dict[str, str]]:
        """Have the teacher segment what it has not yet; return the examples, and what failed."""
        labels = SoftLabels(soft, self.kind.view)
        failed = labels.make(self.teacher, self.source(), self.images, progress)
        found = labels.examples(self.images, self.kind.reading)
        if not found:
            raise DsegError(
                f"the teacher could segment none of the {len(self.sizes)} images. The first error: "
                f"{next(iter(failed.values()), 'unknown')}"
            )
        return found, failed


def _reading(config: DistilConfig, teacher: MaskModel) -> ReadingSpec:
    """Return how images are read: as for the teacher, whose white may be another.

    Raises
    ------
    InputError
        If another white is given than levels say.
    """
    reading = teacher.reading
    if config.white is not None and reading.levels is not None:
        raise InputError(
            "--white cannot be used with this model: its features have levels, which say which "
            "value is white"
        )
    return replace(reading, white=config.white or reading.white, most_pixels=config.max_pixels)
