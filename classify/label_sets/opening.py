"""Open labels, in whatever form they are: a folder of label maps, or annotation files."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from ...store.urls.location import Location
from ...store.urls.walking import lower_suffix
from ..annotations.registry import open_annotations
from ..labels.label_entry import PLAIN, LabelEntry
from ..labels.palettes import check_palettes
from ..labels.survey import LabelSurvey
from .annotated import annotated_set
from .class_table import ClassTable, load_class_table, read_class_table
from .files import GROUPS, LabelFiles, find_label_files
from .index_maps import TwoValues, recognise_index
from .known_tables import cityscapes_classes, cityscapes_colours, cityscapes_ids
from .label_set import LabelOptions, LabelSet, Recognised, dtype_of
from .pixels import is_plain, read_pixels
from .recognise_colours import recognise_colours

__all__ = ["open_label_set"]

Say = Callable[[str], None] | None

_KNOWN = {
    "_labelIds": cityscapes_ids,
    "_labelTrainIds": cityscapes_classes,
    "_color": cityscapes_colours,
}
"""What names of files end with whose ids or colours are those of a published data set."""


@dataclass(frozen=True)
class Numbers:
    """A file of one number a pixel that is no plain label map: TIFF, LA, one-hot, and others.

    Parameters
    ----------
    clear : int
        The number of transparent pixels, or of those that mark no class.
    """

    clear: int

    def read(
        self, file: Location, what: str, size: tuple[int, int] | None
    ) -> tuple[NDArray[np.integer[Any]], bytes | None]:
        """Read a label map, see `Form.read`."""
        pixels = read_pixels(file, what)
        if pixels.coloured:
            raise InputError(f"{what} '{file}' has colours, but others have one number a pixel")
        if pixels.clear is None:
            return pixels.values, pixels.palette
        clear = dtype_of(1, self.clear).type(self.clear)
        return np.where(pixels.clear, clear, pixels.values), pixels.palette


def open_label_set(
    source: Location,
    known: Collection[str] | None = None,
    images: Collection[Location] = (),
    options: LabelOptions | None = None,
    say: Say = None,
    *,
    first: Collection[str] = (),
    table: ClassTable | None = None,
) -> LabelSet:
    """Find label maps, and say by their content which form they have.

    Parameters
    ----------
    source : path
        A folder of label maps, an annotation file, or a folder of annotation files.
    known : collection of str, optional
        Stems of the images; None where there are none to compare with.
    images : collection of path
        Files known to be images, which are no labels: both may be in one folder.
    options : LabelOptions, optional
    say : callable, optional
        Called with messages about files of classes.
    first : collection of str
        Stems of those that are to be used, if not all: the first to be looked at.
    table : ClassTable, optional
        What ids or colours stand for, where that is known: no file of classes is read.

    Returns
    -------
    LabelSet
        Without entries if there are none.

    Raises
    ------
    InputError
        If there is no such place, it is not clear what files say, or one is damaged.
    """
    options = options or LabelOptions()
    local = _on_this_machine(source)
    if isinstance(source, Path) and source.is_file():
        return _annotated(source, known, options) or _no_annotations(source)
    found = find_label_files(source, images, known, options.what)
    if local is not None and _may_be_images(found, known):
        annotated = _annotated(local, known, options)
        if annotated is not None:
            return annotated
    if options.classes_file is not None:
        table = read_class_table(options.classes_file, say)
    elif table is None:
        table = load_class_table(found.root, say)
    if not found.files:
        return LabelSet(
            source, {}, table.classes if table else None, options.ignore, skipped=found.skipped
        )
    known = found.files.keys() if known is None else set(known)
    looked_at = [stem for stem in found.files if stem in known]
    looked_at.sort(key=lambda stem: stem not in first)
    return _of_files(source, found, table, looked_at, options)


def _on_this_machine(source: Location) -> Path | None:
    """Return a folder or zip file of this machine as a path; of what is by URL nothing."""
    if isinstance(source, Path):
        return source
    return Path(source.root) if not source.key and "://" not in source.root else None


def _may_be_images(found: LabelFiles, known: Collection[str] | None) -> bool:
    """Whether there are no label maps, or what may be the photographs beside annotation files."""
    photographs = all(lower_suffix(path) in GROUPS[-1] for path in found.files.values())
    return photographs or (known is not None and not found.files.keys() & set(known))


def _annotated(
    source: Path, known: Collection[str] | None, options: LabelOptions
) -> LabelSet | None:
    annotations = open_annotations(source)
    return None if annotations is None else annotated_set(annotations, source, known, options)


def _no_annotations(source: Path) -> LabelSet:
    raise InputError(
        f"'{source}' is no annotation file that dseg reads: give one, or the folder of label maps "
        "(docs/label-maps.md lists both)"
    )


def _of_files(
    source: Location,
    found: LabelFiles,
    table: ClassTable | None,
    with_image: Sequence[str],
    options: LabelOptions,
) -> LabelSet:
    entries = {
        stem: LabelEntry(stem, file, PLAIN, options.what) for stem, file in found.files.items()
    }
    if table is None:
        table = next((made() for end, made in _KNOWN.items() if found.ending.endswith(end)), None)
    where = f"the {options.what}s in '{source}'"
    form = _recognised([entries[stem] for stem in with_image], table, options, where)
    described = ""
    if form.words or found.ending:
        named = f", names end in '{found.ending}'" if found.ending else ""
        described = (
            f"{form.words or 'label maps'}{named}, {len(with_image)} of {len(entries)} label maps"
        )
    return LabelSet(
        source,
        {stem: replace(entry, form=form.form) for stem, entry in entries.items()},
        form.classes,
        form.ignore,
        described,
        found.skipped,
        form.notes,
        table=form.table,
    )


def _recognised(
    entries: Sequence[LabelEntry], table: ClassTable | None, options: LabelOptions, where: str
) -> Recognised:
    if not entries:
        return Recognised(PLAIN, None if table is None else table.classes, options.ignore)
    by_colour = table is not None and table.by_colour
    # Of what is by URL one file is asked for; the others are seen when they are read.
    local = [entry for entry in entries if isinstance(entry.file, Path)] or entries[:1]
    if all(is_plain(entry.file) for entry in local) and not by_colour:
        if table is not None and table.colours:
            kind = _read_by_colour(entries, table, options)
            if kind:
                return _in_words(recognise_colours(entries, table, options, where), kind)
        found = recognise_index(entries, PLAIN, table, options, where)
        suffixes = sorted({lower_suffix(entry.file).lstrip(".") for entry in entries})
        return _in_words(found, f"grey masks ({', '.join(suffixes)})") if found.words else found
    kind, coloured, lossy = _content_of(entries, options.what)
    if coloured or by_colour or (lossy and table is not None and table.colours):
        return _in_words(recognise_colours(entries, table, options, where), kind)
    base = Numbers(0 if options.has_background else options.ignore)
    based = [replace(entry, form=base) for entry in entries]
    found = recognise_index(based, base, table, options, where)
    if lossy and not isinstance(found.form, TwoValues):
        raise InputError(
            f"{where} are {kind}, but a JPEG cannot store exact class ids: export them again as "
            "PNG. If grey values stand for classes, list them as colours in classes.json, "
            '[{"name": …, "colour": [0, 0, 0]}, …]'
        )
    if found.form == base:
        found = replace(found, words="one class id a pixel")
    return _in_words(found, kind)


def _in_words(found: Recognised, kind: str) -> Recognised:
    return replace(found, words=f"{kind}, {found.words}")


def _content_of(entries: Sequence[LabelEntry], what: str) -> tuple[str, bool, bool]:
    """Return what files are in words, whether one has colours, and whether one may have lost."""
    kinds: dict[str, None] = {}
    coloured = lossy = False
    for entry in entries:
        pixels = read_pixels(entry.file, what)
        suffix = lower_suffix(entry.file).lstrip(".")
        shape = "RGB" if pixels.coloured else "palette" if pixels.palette else "grey"
        array = suffix in ("npy", "npz")
        kinds[f"arrays ({suffix})" if array else f"{shape} masks ({suffix})"] = None
        coloured |= pixels.coloured
        lossy |= pixels.lossy
    return " and ".join(kinds), coloured, lossy


def _read_by_colour(entries: Sequence[LabelEntry], table: ClassTable, options: LabelOptions) -> str:
    """Return what files of ids are, in words, if it is their colours that count; else nothing."""
    if all(len(set(colour)) == 1 for colour in table.colours):
        n = len(table.classes)
        beyond = (entry.read() for entry in entries if table.ids is None)
        if any(((ids >= n) & (ids != options.ignore)).any() for ids in beyond):
            return "grey masks"
    return "palette masks" if _palettes_contradict(entries, options) else ""


def _palettes_contradict(entries: Sequence[LabelEntry], options: LabelOptions) -> bool:
    """Whether the files' palettes number colours differently, so that the index means nothing."""
    survey = LabelSurvey("", options.ignore)
    for entry in entries:
        ids, palette = entry.read_with_palette()
        survey.add(entry, ids, palette, borders=False)
        if palette is None:
            return False
    try:
        check_palettes(survey)
    except InputError:
        return True
    return False
