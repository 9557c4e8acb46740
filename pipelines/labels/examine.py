"""Read each label map once, and collect what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...classify.label_sets.label_set import LabelOptions, LabelSet
from ...classify.label_sets.opening import open_label_set
from ...classify.labels.checks import check_ids, check_label_maps, check_size
from ...classify.labels.classes import Classes, default_classes
from ...classify.labels.label_entry import LabelEntry, turned
from ...classify.labels.survey import LabelSurvey
from ...store.errors import InputError
from ..console.progress import Progress
from ..inputs.image_list import named, read_list, select
from ..inputs.labelled_pixels import mismatches
from .config import LabelsConfig, Problem
from .images import LabelledImages

__all__ = ["Examined", "examine"]

_HIDDEN_TURNS = (2, 3, 4)
"""EXIF orientations that leave an image's sides as they are."""


@dataclass
class Examined:
    """What was found.

    Parameters
    ----------
    images : LabelledImages
    labels : LabelSet
        With those entries that can be used, each of its image's size.
    survey : LabelSurvey
        Of those.
    classes : Classes
    problems : list of Problem
    notes : list of str
    """

    images: LabelledImages
    labels: LabelSet
    survey: LabelSurvey
    classes: Classes
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def examine(config: LabelsConfig, progress: Progress) -> Examined:
    """Open label maps as other commands do, read each, and check it against its image.

    Raises
    ------
    InputError
        If there are no images, or the list is wrong. What is wrong with label maps is collected.
    """
    images = LabelledImages.open(config.images)
    wanted = None
    if config.list_file is not None:
        wanted = select(list(images.names), read_list(config.list_file), images.where)
    options = LabelOptions(config.ignore, config.background, config.classes_file)
    notes = list[str]()
    try:
        labels = open_label_set(
            config.labels,
            images.names,
            images.among(config.labels),
            options,
            notes.append,
            first=wanted or (),
        )
    except InputError as error:
        nothing = LabelSet(config.labels, ignore=config.ignore)
        survey = LabelSurvey(nothing.where, config.ignore)
        return Examined(
            images, nothing, survey, default_classes(1), [Problem(None, str(error))], notes
        )
    found = Examined(
        images,
        labels,
        LabelSurvey(labels.where, labels.ignore),
        labels.classes or default_classes(1),
        [Problem(None, words) for words in mismatches(labels, images.names, images.where, wanted)],
        [*notes, *labels.notes, *([labels.skipped] if labels.skipped and labels.entries else [])],
    )
    if labels.unmatched and labels.entries:
        found.notes.append(f"{named(labels.unmatched)} are not among the {images.where}")
    chosen = {
        stem: labels.entries[stem]
        for stem in (images.names if wanted is None else wanted)
        if stem in labels.entries
    }
    _read_all(found, chosen, progress)
    if labels.classes is None:
        found.classes = default_classes(max(1, found.survey.highest + 1))
    return found


def _read_all(found: Examined, chosen: Mapping[str, LabelEntry], progress: Progress) -> None:
    used, upright, hidden = dict[str, LabelEntry](), list[str](), list[str]()
    with progress.bar("label maps", len(chosen), "images") as advance:
        for stem, entry in chosen.items():
            try:
                shown = found.images.shown(stem)
                entry = entry.shown_as(shown.size, shown.orientation)
                label, palette = entry.read_with_palette()
                check_size(label.shape, shown.size, entry.name, found.images.names[stem])
                ids = found.survey.add(entry, label, palette).pixels
                what = f"label map '{entry.name}'"
                check_ids(label, ids, found.labels.ignore, found.labels.classes, what)
            except InputError as error:
                found.problems.append(Problem(entry.name, str(error)))
            else:
                used[stem] = entry
                if shown.orientation in _HIDDEN_TURNS:
                    hidden.append(stem)
                if shown.orientation > 4 and _is_stored(entry, shown.size):
                    upright.append(stem)
            advance(1)
    found.labels = replace(found.labels, entries=used)
    if upright:
        found.notes.append(
            f"{named(upright)} have the size of the stored pixels, not of the image as its EXIF "
            "orientation shows it: they are turned here. For commands that read features from a "
            "store, write turned ones with `dseg labels convert`"
        )
    if hidden:
        found.notes.append(
            f"the images of {named(hidden)} are turned by EXIF so that their size does not tell "
            "whether the label maps are turned too: they are taken as the images are shown"
        )
    if not found.survey.maps:
        return
    try:
        found.notes += check_label_maps(found.survey, found.labels.classes)
    except InputError as error:
        found.problems.append(Problem(None, str(error)))


def _is_stored(entry: LabelEntry, size: tuple[int, int]) -> bool:
    """Whether a label map was turned when it was read."""
    if size[0] == size[1]:
        return False
    stored, _ = entry.form.read(entry.file, entry.what, size)
    return stored.shape != size and turned(stored, entry.orientation).shape == size
