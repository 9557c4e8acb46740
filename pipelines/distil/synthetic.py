"""A synthetic folder as what is learnt from: its images come with labels, so no teacher is needed.

=================================== ==========================================================
part                                holds
=================================== ==========================================================
images/, labels/                    images, and their label maps under the same stems
classes.txt or classes.json         the classes
kept.txt, optional                  stems of the images to take; else all
uncertainty/<stem>.npy, optional    (H, W), nats: pixels count less the more uncertain they are
probabilities/<stem>.npy, optional  (C, H, W): used in place of the label map
=================================== ==========================================================
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...classify.labels.classes import Classes, load_classes
from ...distil.data.examples import Example, ImageFile, LabelTarget, SoftTarget, Target
from ...distil.data.soft_labels import SoftLabel, write_soft_label
from ...extract.images.files import find_images
from ...extract.images.levels import FULL
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import InputError
from ...store.geometry import Geometry
from ..console.progress import Progress
from ..inputs.image_list import read_list
from .config import DistilConfig
from .material import Kind, view_of
from .sources import Labelled, LabelledImage, check_uncertainty, labelled_images, read_labelled
from .teacher import SoftLabels

__all__ = [
    "Synthetic",
    "SyntheticFolder",
    "kind_of",
    "labelled_beside",
    "most_uncertain",
    "refuse_model",
]

AGAINST = "synthetic labels"


@dataclass(frozen=True)
class Synthetic:
    """What a synthetic folder and a store have in common, see `material.Origin`.

    Parameters
    ----------
    kind : Kind
    labelled : Labelled
        Real images beside them.
    ignore : int
        Id of pixels without a class.
    """

    kind: Kind
    labelled: Labelled
    ignore: int

    @property
    def refused(self) -> Mapping[str, str]:
        """Nothing: an image that cannot be read ends the run."""
        return {}

    @property
    def teaching(self) -> dict[str, Any]:
        """What soft labels depend on besides the image."""
        return {"teacher": self.kind.digest, "view": self.kind.view.to_dict()}


@dataclass(frozen=True)
class SyntheticFolder(Synthetic):
    """A synthetic folder, see `Synthetic`.

    Parameters
    ----------
    folder : path
    pairs : Labelled
        Its images and label maps.
    """

    folder: Path
    pairs: Labelled

    @classmethod
    def read(cls, config: DistilConfig, progress: Progress) -> Self:
        """Read the folder, and the labels beside it.

        Raises
        ------
        InputError
            If it names no classes, or images and labels do not fit.
        """
        folder = config.source
        refuse_model(config, "folder")
        classes = load_classes(folder / "labels", progress.say)
        if classes is None:
            raise InputError(
                f"'{folder}' has images and labels but no classes.txt, which names the "
                "classes: add one"
            )
        pairs = read_labelled(
            find_images([folder / "images"]),
            folder / "labels",
            classes,
            f"'{folder}'",
            config,
            progress,
            wanted=_listed(config, progress),
            reading=reading_of_synthetic(config),
        )
        labelled = labelled_beside(config, classes, "folder", progress)
        made = cls(kind_of(config, classes, pairs.digest), labelled, config.ignore, folder, pairs)
        for image in pairs.images:
            uncertainty = made._beside("uncertainty", image.stem)
            if uncertainty is not None:
                check_uncertainty(uncertainty, image.size)
        return made

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width of each image, by stem."""
        return {image.stem: image.size for image in self.pairs.images}

    def some(self, stems: Sequence[str]) -> Self:
        """Return these images alone."""
        wanted = set(stems)
        images = tuple(image for image in self.pairs.images if image.stem in wanted)
        return replace(self, pairs=replace(self.pairs, images=images))

    def missing(self, soft: Path) -> list[str]:
        """Return the stems of the images whose probabilities are still to be brought to size."""
        labels = SoftLabels(soft, self.kind.view)
        return [
            image.stem
            for image in self.pairs.images
            if self._beside("probabilities", image.stem) is not None
            and not all(
                file.is_file()
                for file in labels.paths(image.sha256, self.kind.view.geometry(image.size))
            )
        ]

    def examples(
        self, soft: Path, progress: Progress
    ) -> tuple[dict[str, list[Example]], dict[str, str]]:
        """Return the examples of each image; probabilities are brought to the student's size."""
        found, labels = {}, SoftLabels(soft, self.kind.view)
        with progress.bar("synthetic images", len(self.pairs.images), "images") as advance:
            for image in self.pairs.images:
                picture, geometry = ImageFile(image.image), self.kind.view.geometry(image.size)
                target = self._target_of(image, geometry, labels)
                found[image.stem] = [
                    Example(picture, geometry, tile, target(tile))
                    for tile in range(len(geometry.offsets))
                ]
                advance(1)
        return found, {}

    def _beside(self, kind: str, stem: str) -> Path | None:
        path = self.folder / kind / f"{stem}.npy"
        return path if path.is_file() else None

    def _target_of(
        self, image: LabelledImage, geometry: Geometry, soft: SoftLabels
    ) -> Callable[[int], Target]:
        uncertainty = self._beside("uncertainty", image.stem)
        probabilities = self._beside("probabilities", image.stem)
        if probabilities is None:
            nats = None if uncertainty is None else partial(_array, uncertainty)
            target = LabelTarget(
                image.label.read, self.pairs.ignore, nats, most_uncertain(self.kind.classes)
            )
            return lambda tile: target
        files = soft.paths(image.sha256, geometry)
        if not all(file.is_file() for file in files):
            self._soften(image, probabilities, uncertainty, geometry, files)
        return lambda tile: SoftTarget(files[tile])

    def _soften(
        self,
        image: LabelledImage,
        probabilities: Path,
        uncertainty: Path | None,
        geometry: Geometry,
        files: list[Path],
    ) -> None:
        """Write probabilities at the view's size as soft labels."""
        classes = self.kind.classes
        whole = _loaded(probabilities, (len(classes), *image.size))
        resized = _resized(whole, geometry.resized)
        certainty = resized.max(0)
        if uncertainty is not None:
            nats = _resized(_loaded(uncertainty, image.size)[None], geometry.resized)[0]
            certainty = 1 - nats / np.float32(most_uncertain(classes))
        for tile, ((y, x), file) in enumerate(zip(geometry.offsets, files, strict=True)):
            height, width = geometry.content(tile)
            rows, columns = slice(y, y + height), slice(x, x + width)
            write_soft_label(
                file, SoftLabel.of(resized[:, rows, columns], certainty[rows, columns])
            )


def refuse_model(config: DistilConfig, what: str) -> None:
    """Refuse a teacher where there are labels already; ``what`` is a "folder" or a "store".

    Raises
    ------
    InputError
    """
    if config.model is not None:
        raise InputError(
            f"'{config.source}' is a synthetic {what}, which has labels already: leave out --model"
        )


def labelled_beside(
    config: DistilConfig, classes: Classes, what: str, progress: Progress
) -> Labelled:
    """Return the real labelled images beside a synthetic "folder" or "store".

    Raises
    ------
    InputError
        If it is not said where the images are, or they do not fit.
    """
    if config.labels is not None and config.images is None:
        raise InputError(
            f"label maps of real images were given, but the source is a synthetic {what}: give the "
            "folder of the real images with --images"
        )
    owner = f"the synthetic {what} '{config.source}'"
    return labelled_images(config, classes, owner, progress, reading_of_synthetic(config))


def reading_of_synthetic(config: DistilConfig) -> ReadingSpec:
    """Return how synthetic images are read, and real ones beside them."""
    return ReadingSpec(white=config.white or FULL, most_pixels=config.max_pixels)


def kind_of(config: DistilConfig, classes: Classes, digest: str) -> Kind:
    """Return what the images of a synthetic folder or store have in common."""
    about = {"source": str(config.source), "fingerprint": digest}
    reading = reading_of_synthetic(config)
    return Kind(classes, view_of(config), reading, about, AGAINST, digest)


def most_uncertain(classes: Classes) -> float:
    """Return the uncertainty of which a pixel counts nothing: all classes alike, in nats."""
    return math.log(max(2, len(classes)))


def _listed(config: DistilConfig, progress: Progress) -> tuple[str, ...] | None:
    """Return the images to take: those of ``--list``, else those that the filter kept, else all."""
    kept = config.source / "kept.txt"
    if config.list_file is not None:
        return read_list(config.list_file)
    if not kept.is_file():
        return None
    found = read_list(kept)
    progress.say(f"{len(found)} images, those of '{kept}'")
    return found


def _array(path: Path) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, allow_pickle=False)
    return values


def _loaded(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        values = _array(path)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
    if values.shape != shape:
        raise InputError(f"'{path}' has the shape {values.shape}, expected {shape}")
    return np.asarray(values, np.float32)


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(K, H, W) → (K, *size), averaged where it is smaller."""
    maps = torch.from_numpy(values)[None]
    resized = nn.functional.interpolate(
        maps, size, mode="bilinear", align_corners=False, antialias=True
    )
    found: NDArray[np.float32] = resized[0].numpy()
    return found
