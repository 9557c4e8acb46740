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
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...classify.labels.classes import Classes, load_classes
from ...distil.data.examples import Example, LabelTarget, SoftTarget, Target
from ...distil.data.soft_labels import SoftLabel, write_soft_label
from ...distil.student.view import View
from ...extract.images.files import ImageFiles, find_images
from ...store.errors import InputError
from ...store.geometry import Geometry
from ..console.progress import Progress
from ..inputs.image_list import read_list
from .config import DistilConfig
from .sources import Labelled, LabelledImage, check_uncertainty, read_labelled
from .teacher import SoftLabels

__all__ = ["SyntheticFolder"]


class SyntheticFolder:
    """A synthetic folder.

    Parameters
    ----------
    config : DistilConfig
        Its source is the folder.
    progress : Progress

    Attributes
    ----------
    classes : Classes
    pairs : Labelled
        Its images and label maps.

    Raises
    ------
    InputError
        If it names no classes, or images and labels do not fit.
    """

    def __init__(self, config: DistilConfig, progress: Progress) -> None:
        self._folder = config.source
        labels = self._folder / "labels"
        classes = load_classes(labels, progress.say)
        if classes is None:
            raise InputError(
                f"'{self._folder}' has images and labels but no classes.txt, which names the "
                "classes: add one"
            )
        self.classes: Classes = classes
        files: ImageFiles = find_images([self._folder / "images"])
        listed = _listed(config, progress)
        owner = f"'{self._folder}'"
        self.pairs: Labelled = read_labelled(
            files, labels, classes, owner, config, progress, wanted=listed
        )
        for image in self.pairs.images:
            uncertainty = self._beside("uncertainty", image.stem)
            if uncertainty is not None:
                check_uncertainty(uncertainty, image.size)

    def _beside(self, kind: str, stem: str) -> Path | None:
        path = self._folder / kind / f"{stem}.npy"
        return path if path.is_file() else None

    def examples(
        self, view: View, soft: SoftLabels, ignore: int, progress: Progress
    ) -> dict[str, list[Example]]:
        """Return the examples of each image, by stem; soft labels are brought to the view's size.

        Raises
        ------
        InputError
            If probabilities do not fit.
        DsegError
            If a soft label cannot be written.
        """
        found = {}
        with progress.bar("synthetic images", len(self.pairs.images), "images") as advance:
            for image in self.pairs.images:
                geometry = view.geometry(image.size)
                target = self._target_of(image, geometry, soft, ignore)
                count = len(geometry.offsets)
                found[image.stem] = [
                    Example(image.image, geometry, tile, target(tile)) for tile in range(count)
                ]
                advance(1)
        return found

    def _target_of(
        self, image: LabelledImage, geometry: Geometry, soft: SoftLabels, ignore: int
    ) -> Callable[[int], Target]:
        uncertainty = self._beside("uncertainty", image.stem)
        probabilities = self._beside("probabilities", image.stem)
        if probabilities is None:
            most = math.log(max(2, len(self.classes)))
            target = LabelTarget(image.label, ignore, uncertainty, most)
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
        whole = _loaded(probabilities, (len(self.classes), *image.size))
        resized = _resized(whole, geometry.resized)
        certainty = resized.max(0)
        if uncertainty is not None:
            nats = _resized(_loaded(uncertainty, image.size)[None], geometry.resized)[0]
            certainty = 1 - nats / np.float32(math.log(max(2, len(self.classes))))
        for tile, ((y, x), file) in enumerate(zip(geometry.offsets, files, strict=True)):
            height, width = geometry.content(tile)
            rows, columns = slice(y, y + height), slice(x, x + width)
            write_soft_label(
                file, SoftLabel.of(resized[:, rows, columns], certainty[rows, columns])
            )


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


def _loaded(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        values = np.load(path, allow_pickle=False)
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
