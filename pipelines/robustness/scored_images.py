"""Images with label maps to score against: matched, checked before hours are spent, hashed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...classify.labels.checks import check_ids, check_label_maps, check_size
from ...classify.labels.classes import Classes, load_classes
from ...classify.labels.label_maps import read_label_file
from ...classify.labels.survey import LabelSurvey
from ...extract.images.files import ImageFiles
from ...extract.images.reading import PLAIN, UnreadableImage, image_size, sha256_of
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import InputError
from ...store.urls.location import Location
from ..console.progress import Progress
from ..inputs.labelled_pixels import (
    find_by_name,
    images_among_labels,
    match_labels,
    unnamed_classes,
)

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
    sha256 : mapping
        Of each image, in hexadecimal, by its stem.
    """

    labels: Mapping[str, Location]
    classes: Classes
    digest: str
    sha256: Mapping[str, str]


def read_scored_images(
    images: ImageFiles,
    labels: Path,
    wanted: Sequence[str] | None,
    ignore: int,
    *,
    smallest: int,
    n_classes: int,
    progress: Progress,
    reading: ReadingSpec = PLAIN,
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
    reading : ReadingSpec
        How the images are read.

    Raises
    ------
    InputError
        If they do not match, an image cannot be used, a label map does not fit it, or ids are
        hardly classes.
    """
    files = {stem: images.local[name] for stem, name in images.by_stem.items()}
    same_names = find_by_name(labels, images.files)
    not_labels = images_among_labels(
        labels, ((name, sha256_of(images.local[name]).hex()) for name in same_names)
    )
    paths = match_labels(files, labels, wanted, f"images in {images.where}", not_labels, progress)
    digest, named, sha256 = hashlib.sha256(), load_classes(labels, progress.say), dict[str, str]()
    survey = LabelSurvey(f"the label maps in '{labels}'", ignore)
    with progress.bar("label maps", len(paths), "images") as advance:
        for stem, path in paths.items():
            _take_in(survey, files[stem], path, named, smallest, reading)
            image = sha256_of(files[stem])
            sha256[stem] = image.hex()
            for part in (stem.encode(), image, sha256_of(path)):
                digest.update(hashlib.sha256(part).digest())
            advance(1)
    for note in check_label_maps(survey, named):
        progress.warn(note)
    classes = named or unnamed_classes(max(survey.highest + 1, n_classes), survey.where)
    return ScoredImages(paths, classes, digest.hexdigest(), sha256)


def _take_in(
    survey: LabelSurvey,
    image: Path,
    path: Location,
    classes: Classes | None,
    smallest: int,
    reading: ReadingSpec,
) -> None:
    """Refuse an image or a label map that scoring would refuse after the first hour."""
    try:
        size = image_size(image, reading)
    except UnreadableImage as error:
        raise InputError(f"{error} Use --list to leave it out") from error
    if min(size) < smallest:
        raise InputError(
            f"image '{image.name}' is {size[1]}×{size[0]}: the corruptions need {smallest} "
            "pixels per side. Use --list to leave it out"
        )
    label, palette = read_label_file(path)
    check_size(label.shape, size, path.name, image.name)
    seen = survey.add(path, label, palette)
    check_ids(label, seen.pixels, survey.ignore, classes, f"label map '{path.name}'")
