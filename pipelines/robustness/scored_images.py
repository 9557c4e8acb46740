"""Images with label maps to score against: matched, checked before hours are spent, hashed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...classify.classes import Classes, load_classes
from ...classify.labels import largest_id, read_label_map
from ...classify.metrics import Confusion
from ...extract.images import ImageFiles, UnreadableImage, image_size, sha256_of
from ...store.errors import InputError
from ..labelled import files_named, match_labels, same_files, unnamed_classes
from ..progress import Progress

__all__ = ["ScoredImages", "read_scored_images"]


@dataclass(frozen=True)
class ScoredImages:
    """What to score against.

    Parameters
    ----------
    labels : mapping
        The path of each label map by its image's stem.
    classes : Classes
    digest : str
        sha256 over stems, images and label maps.
    """

    labels: Mapping[str, Path]
    classes: Classes
    digest: str


def read_scored_images(
    images: ImageFiles,
    labels: Path,
    wanted: Sequence[str] | None,
    ignore: int,
    *,
    smallest: int,
    n_classes: int,
    progress: Progress,
) -> ScoredImages:
    """Match label maps to images and see that they fit.

    Parameters
    ----------
    images : ImageFiles
    labels : path
        Folder of label maps.
    wanted : sequence of str, optional
        Stems to take.
    ignore : int
        Id of the label maps' pixels without a class.
    smallest : int
        Pixels that each side of an image must have.
    n_classes : int
        Where no file names the classes, there are at least so many.
    progress : Progress

    Raises
    ------
    InputError
        If they do not match, an image cannot be used, or a label map does not fit it.
    """
    files = {stem: images.files[name] for stem, name in images.by_stem.items()}
    there = files_named(labels, images.files)
    beside = same_files(labels, ((name, sha256_of(images.files[name]).hex()) for name in there))
    paths = match_labels(files, labels, wanted, f"images in {images.where}", beside, progress)
    digest, highest = hashlib.sha256(), -1
    with progress.bar("label maps", len(paths), "images") as advance:
        for stem, path in paths.items():
            highest = max(highest, _checked(files[stem], path, ignore, smallest))
            for part in (stem.encode(), sha256_of(files[stem]), sha256_of(path)):
                digest.update(hashlib.sha256(part).digest())
            advance(1)
    n = max(highest + 1, n_classes)
    classes = load_classes(labels) or unnamed_classes(n, f"the label maps in '{labels}'")
    _check_ids(paths, len(classes), ignore, labels)
    return ScoredImages(paths, classes, digest.hexdigest())


def _checked(image: Path, label: Path, ignore: int, smallest: int) -> int:
    """Return the highest id of a label map that fits its image."""
    try:
        size = image_size(image)
    except UnreadableImage as error:
        raise InputError(f"{error} Leave it out with --list") from error
    if min(size) < smallest:
        raise InputError(
            f"image '{image.name}' is {size[1]}×{size[0]}: the corruptions need {smallest} pixels "
            "a side. Leave it out with --list"
        )
    ids = read_label_map(label)
    if ids.shape != size:
        raise InputError(
            f"label map '{label.name}' is {ids.shape[1]}×{ids.shape[0]} but image '{image.name}' "
            f"is {size[1]}×{size[0]}: a label map must have its image's size. "
            "Was the image resized or turned?"
        )
    return largest_id(ids, ignore)


def _check_ids(paths: Mapping[str, Path], n_classes: int, ignore: int, folder: Path) -> None:
    """Refuse what scoring would refuse after the first hour."""
    confusion = Confusion(n_classes, ignore)
    for stem, path in paths.items():
        label = read_label_map(path)
        confusion.add(label, label, stem)
    if np.isnan(confusion.pixel_accuracy()):
        raise InputError(
            f"no pixel of the label maps in '{folder}' has a class: all are {ignore}, the ignore "
            "label. Is another id to be ignored (--ignore)?"
        )
