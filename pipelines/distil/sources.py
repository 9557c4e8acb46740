"""Which images are learnt from: those of the source, and the labelled ones beside them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...classify.label_sets.class_order import with_classes
from ...classify.label_sets.label_set import LabelOptions
from ...classify.labels.checks import check_ids, check_label_maps, check_size
from ...classify.labels.classes import Classes
from ...classify.labels.label_entry import LabelEntry
from ...classify.labels.survey import LabelSurvey
from ...extract.images.files import ImageFiles, find_images
from ...extract.images.reading import UnreadableImage, image_facts, sha256_of
from ...extract.images.reading_spec import ReadingSpec
from ...store.errors import InputError
from ...store.synthetic import is_synthetic_store
from ..console.progress import Progress
from ..inputs.image_list import named, read_list, select
from ..inputs.image_survey import report_skipped_files, survey_images
from ..inputs.labelled_pixels import find_by_name, images_among_labels, match_labels
from .config import DistilConfig

__all__ = [
    "LabelledImage",
    "Labelled",
    "Unlabelled",
    "check_uncertainty",
    "is_synthetic",
    "labelled_images",
    "read_labelled",
    "unlabelled",
    "warn_of_absent",
]


def is_synthetic(source: Path) -> bool:
    """Say whether a folder or store holds images with labels, as ``dseg synthesize`` writes them.

    Raises
    ------
    InputError
        If it is another Zarr store.
    """
    if is_synthetic_store(source):
        return True
    if (source / "zarr.json").is_file():
        raise InputError(
            f"'{source}' is a Zarr store, but not of synthetic images: a student learns from "
            "images. Give the folder of the photographs, or what `dseg synthesize` wrote"
        )
    return all((source / part).is_dir() for part in ("images", "labels"))


@dataclass(frozen=True)
class LabelledImage:
    """An image with its label map.

    Parameters
    ----------
    stem : str
    image : path
    label : LabelEntry
    size : tuple of int
        Height and width.
    sha256 : str
        Of the image.
    """

    stem: str
    image: Path
    label: LabelEntry
    size: tuple[int, int]
    sha256: str


@dataclass(frozen=True)
class Labelled:
    """Images with label maps.

    Parameters
    ----------
    images : tuple of LabelledImage
    digest : str
        sha256 over images and label maps.
    ignore : int
        Id of the label maps' pixels without a class.
    """

    images: tuple[LabelledImage, ...] = ()
    digest: str = ""
    ignore: int = 255


@dataclass(frozen=True)
class Unlabelled:
    """Images without label maps.

    Parameters
    ----------
    files : ImageFiles
        All of the folder.
    sizes : mapping
        Height and width of those to take, by stem.
    sha256 : mapping
        Of their files, hexadecimal, by stem.
    refused : mapping
        Why images cannot be used, by name.
    """

    files: ImageFiles
    sizes: Mapping[str, tuple[int, int]]
    sha256: Mapping[str, str]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def stems(self) -> tuple[str, ...]:
        """Those to take."""
        return tuple(self.sizes)

    @property
    def digest(self) -> str:
        """A hash of all their files, whatever their names and order."""
        return hashlib.sha256("".join(sorted(self.sha256.values())).encode()).hexdigest()


def labelled_images(
    config: DistilConfig,
    classes: Classes,
    owner: str,
    progress: Progress,
    reading: ReadingSpec,
) -> Labelled:
    """Return the labelled images beside those of the source, if any are given.

    Parameters
    ----------
    config : DistilConfig
    classes : Classes
        That their label maps must have.
    owner : str
        Whose classes these are, for messages.
    progress : Progress
    reading : ReadingSpec
        How the images are read.

    Raises
    ------
    InputError
        As `read_labelled`, or if options are about label maps that are not given.
    """
    if config.labels is None:
        unused = [
            name
            for name, value in (("--images", config.images), ("--labelled", config.labelled_file))
            if value is not None
        ]
        if unused:
            raise InputError(f"{unused[0]} is about label maps: give their folder after the source")
        return Labelled()
    with progress.step("list images"):
        files = find_images([config.images or config.source])
    if config.images is not None:
        report_skipped_files(files, progress)
    wanted = None if config.labelled_file is None else read_list(config.labelled_file)
    return read_labelled(
        files, config.labels, classes, owner, config, progress, wanted=wanted, reading=reading
    )


def read_labelled(
    files: ImageFiles,
    folder: Path,
    classes: Classes,
    owner: str,
    config: DistilConfig,
    progress: Progress,
    *,
    wanted: tuple[str, ...] | None,
    reading: ReadingSpec,
) -> Labelled:
    """Match label maps to images and see that they fit.

    Parameters
    ----------
    files : ImageFiles
        Among which the labelled ones are.
    folder : path
        Of label maps, or an annotation file.
    classes : Classes
        That they must have.
    owner : str
        Whose classes these are, for messages.
    config : DistilConfig
    progress : Progress
    wanted : tuple of str, optional
        Stems to take; by default all that have a label map.
    reading : ReadingSpec
        How the images are read.

    Raises
    ------
    InputError
        If label maps and images do not match, or are of other classes.
    """
    paths = {stem: files.local[name] for stem, name in files.by_stem.items()}
    same_names = find_by_name(folder, files.files)
    not_labels = images_among_labels(
        folder, ((name, sha256_of(files.local[name]).hex()) for name in same_names)
    )
    what, options = f"images in {files.where}", LabelOptions(config.ignore)
    labels = match_labels(paths, folder, wanted, what, not_labels, progress, options)
    labels = with_classes(labels, classes)
    _check_names(labels.classes, classes, folder, owner)
    survey, digest = LabelSurvey(labels.where, labels.ignore), hashlib.sha256()
    found = []
    with progress.bar("label maps", len(labels.entries), "images") as advance:
        for stem, label in labels.entries.items():
            image = _checked(stem, paths[stem], label, survey, classes, reading)
            digest.update(bytes.fromhex(image.sha256) + image.label.digest())
            found.append(image)
            advance(1)
    for note in check_label_maps(survey, labels.classes):
        progress.warn(note)
    warn_of_absent(survey.where, survey.pixels, classes, progress)
    return Labelled(tuple(found), digest.hexdigest(), labels.ignore)


def _check_names(own: Classes | None, classes: Classes, folder: Path, owner: str) -> None:
    if own is None or own.names == classes.names:
        return
    if len(own) != len(classes):
        what = f"name {len(own)} classes, but {owner} has {len(classes)}"
    else:
        k = next(k for k in range(len(own)) if own.names[k] != classes.names[k])
        what = f"call class {k} '{own.names[k]}', but {owner} calls it '{classes.names[k]}'"
    raise InputError(
        f"the label maps in '{folder}' {what}: a student learns from both, so their classes must "
        "be the same"
    )


def _checked(
    stem: str,
    image: Path,
    label: LabelEntry,
    survey: LabelSurvey,
    classes: Classes,
    reading: ReadingSpec,
) -> LabelledImage:
    try:
        facts = image_facts(image, reading)
    except UnreadableImage as error:
        raise InputError(f"{error} It has a label map: use a list to leave it out") from error
    size, label = facts.size, label.shown_as(facts.size, facts.orientation)
    ids, palette = label.read_with_palette()
    check_size(ids.shape, size, label.name, image.name)
    seen = survey.add(label, ids, palette)
    check_ids(ids, seen.pixels, survey.ignore, classes, f"label map '{label.name}'")
    return LabelledImage(stem, image, label, size, sha256_of(image).hex())


def warn_of_absent(
    where: str, pixels: Mapping[int, int], classes: Classes, progress: Progress
) -> None:
    """Warn of classes without a pixel; ``where`` is what messages call the label maps."""
    absent = [name for k, name in enumerate(classes.names) if not pixels.get(k)]
    if absent:
        progress.warn(f"{where} show no pixel of {named(absent)}")


def unlabelled(
    config: DistilConfig,
    labelled: Iterable[LabelledImage],
    progress: Progress,
    reading: ReadingSpec,
) -> Unlabelled:
    """Return the images of the source that have no label map.

    Raises
    ------
    InputError
        If there are none.
    """
    with progress.step("list images"):
        files = find_images([config.source])
    report_skipped_files(files, progress)
    listed = None if config.list_file is None else read_list(config.list_file)
    chosen = select(list(files.by_stem), listed, f"images in {files.where}")
    taken = {image.image.resolve() for image in labelled}
    names = files.by_stem
    stems = [stem for stem in chosen if files.files[names[stem]].resolve() not in taken]
    if not stems:
        raise InputError(
            f"each of the {len(chosen)} images in {files.where} has a label map: a student learns "
            "from images without. Give a folder of such, or choose label maps with --labelled"
        )
    chosen_files = {names[stem]: files.files[names[stem]] for stem in stems}
    survey = survey_images(chosen_files, progress, reading)
    survey.warn_about_pages(progress)
    sizes = {stem: survey.sizes[names[stem]] for stem in stems if names[stem] in survey.sizes}
    if not sizes:
        raise InputError(
            f"none of the {len(stems)} images in {files.where} can be read. The first error: "
            f"{next(iter(survey.refused.values()))}"
        )
    with progress.bar("hashes", len(sizes), "images") as advance:
        sha256 = dict[str, str]()
        for stem in sizes:
            sha256[stem] = sha256_of(files.files[names[stem]]).hex()
            advance(1)
    return Unlabelled(files, sizes, sha256, dict(survey.refused))


def check_uncertainty(path: Path, size: tuple[int, int]) -> None:
    """Refuse an array of uncertainty that does not fit its image.

    Raises
    ------
    InputError
        Naming it.
    """
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"uncertainty '{path}' cannot be read: {error}") from error
    if shape != size:
        raise InputError(
            f"uncertainty '{path}' has the shape {shape}, expected {size}, its image's"
        )
