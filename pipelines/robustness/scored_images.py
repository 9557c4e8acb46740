"""Images with label maps to score against: matched, checked before hours are spent, hashed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...classify.label_sets.label_set import LabelOptions
from ...classify.labels.checks import check_ids, check_label_maps, check_size
from ...classify.labels.classes import Classes
from ...classify.labels.label_entry import LabelEntry
from ...classify.labels.survey import LabelSurvey
from ...extract.images.files import ImageFiles
from ...extract.images.reading import PLAIN, UnreadableImage, image_facts, sha256_of
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import InputError
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
        The label map of each image by its stem.
    classes : Classes
    ignore : int
        Id of the label maps' pixels without a class.
    digest : str
        sha256 over stems, images and label maps.
    sha256 : mapping
        Of each image, in hexadecimal, by its stem.
    """

    labels: Mapping[str, LabelEntry]
    classes: Classes
    ignore: int
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
    what, options = f"images in {images.where}", LabelOptions(ignore)
    found = match_labels(files, labels, wanted, what, not_labels, progress, options)
    digest, named, sha256 = hashlib.sha256(), found.classes, dict[str, str]()
    survey, entries = LabelSurvey(found.where, found.ignore), dict[str, LabelEntry]()
    with progress.bar("label maps", len(found.entries), "images") as advance:
        for stem, entry in found.entries.items():
            entries[stem] = _take_in(survey, files[stem], entry, named, smallest, reading)
            image = sha256_of(files[stem])
            sha256[stem] = image.hex()
            for part in (stem.encode(), image, entries[stem].digest()):
                digest.update(hashlib.sha256(part).digest())
            advance(1)
    for note in check_label_maps(survey, named):
        progress.warn(note)
    classes = named or unnamed_classes(max(survey.highest + 1, n_classes), survey.where)
    return ScoredImages(entries, classes, found.ignore, digest.hexdigest(), sha256)


def _take_in(
    survey: LabelSurvey,
    image: Path,
    entry: LabelEntry,
    classes: Classes | None,
    smallest: int,
    reading: ReadingSpec,
) -> LabelEntry:
    """Return the label map of an image as it is shown.

    Refuse an image or a label map that scoring would refuse after the first hour.
    """
    try:
        facts = image_facts(image, reading)
        size, orientation = facts.size, facts.orientation
    except UnreadableImage as error:
        raise InputError(f"{error} Use --list to leave it out") from error
    if min(size) < smallest:
        raise InputError(
            f"image '{image.name}' is {size[1]}×{size[0]}: the corruptions need {smallest} "
            "pixels per side. Use --list to leave it out"
        )
    entry = entry.shown_as(size, orientation)
    label, palette = entry.read_with_palette()
    check_size(label.shape, size, entry.name, image.name)
    seen = survey.add(entry, label, palette)
    check_ids(label, seen.pixels, survey.ignore, classes, f"label map '{entry.name}'")
    return entry
