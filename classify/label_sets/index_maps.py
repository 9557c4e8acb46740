"""Files of one number a pixel: class ids as they are, other ids, or black and white.

Ids that may be classes are taken as they are, and of such label maps hardly more than one is looked
at before. Only if that one is odd, all are: then they are two grey values, ids with gaps, or what
`checks` refuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from ...store.urls.location import Location
from ..labels.checks import is_sparse
from ..labels.classes import Classes, default_colour, named_classes
from ..labels.edges import Edges
from ..labels.label_entry import Form, LabelEntry
from ..labels.objects import check_objects
from ..labels.palettes import check_palettes
from ..labels.survey import LabelSurvey, pixels_of
from .class_table import BACKGROUNDS, ClassTable
from .label_set import LabelOptions, Recognised, dtype_of, ignore_beside

__all__ = ["REFUSE_OFF", "Renumbered", "TwoValues", "off_notes", "recognise_index"]

_WHITES = (255, 65535)

_GREY = 32
"""The lowest value that is rather a grey than a class id, where there is only one besides 0."""

# Of masks in black and white with soft borders: values up to _NEAR of either are theirs. Between
# them no area lies; near black only noise does.
_NEAR, _BETWEEN, _NOISE = 12, 0.01, 0.05

WARN_OFF, REFUSE_OFF = 0.05, 0.3
"""Fractions of pixels that are not as expected."""


@dataclass(frozen=True)
class Renumbered:
    """A file of ids that are not the classes' own.

    Parameters
    ----------
    base : Form
        Reads the file.
    ids : tuple of (int, int)
        Id in the file, and class.
    voids : tuple of int
        Ids of pixels without a class.
    ignore : int
        What those get.
    """

    base: Form
    ids: tuple[tuple[int, int], ...]
    voids: tuple[int, ...]
    ignore: int

    def read(
        self, file: Location, what: str, size: tuple[int, int] | None
    ) -> tuple[NDArray[np.integer[Any]], None]:
        """Read a label map, see `Form.read`; an id that is not listed is refused."""
        found, _ = self.base.read(file, what, size)
        n = 1 + max(k for _, k in self.ids)
        pairs = sorted([*self.ids, *((void, self.ignore) for void in self.voids)])
        known = np.array([number for number, _ in pairs])
        classes = np.array([k for _, k in pairs], dtype_of(n, self.ignore))
        ids, inverse = np.unique(found, return_inverse=True)
        places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        strange = ids[known[places] != ids]
        if len(strange):
            shown = ", ".join(map(str, known[:8])) + (", …" if len(known) > 8 else "")
            raise InputError(
                f"{what} '{file}' has the id {strange[0]}, but the ids of the classes are {shown}: "
                f"add it to classes.json, or, if it marks unlabelled pixels, with the name "
                '"unlabelled"'
            )
        return classes[places][inverse].reshape(found.shape), None


@dataclass(frozen=True)
class TwoValues:
    """A picture in black and white: the background, and the object.

    Parameters
    ----------
    base : Form
        Reads the file.
    white : int
        The value of the object; what is nearer to it than to 0 is the object too.
    background : int
        Id of the background: a class, or the ignore label.
    """

    base: Form
    white: int
    background: int

    def read(
        self, file: Location, what: str, size: tuple[int, int] | None
    ) -> tuple[NDArray[np.integer[Any]], None]:
        """Read a label map, see `Form.read`; one with many values in between is refused."""
        found, _ = self.base.read(file, what, size)
        off = _off(found, self.white)
        if off > REFUSE_OFF * found.size:
            raise InputError(
                f"{what} '{file}' is neither black nor white in {100 * off / found.size:.0f} % of "
                "its pixels, but others are masks in black and white: is it one?"
            )
        objects = 1 if self.background == 0 else 0
        dtype = dtype_of(2, self.background)
        is_object = found > self.white // 2
        return np.where(is_object, dtype.type(objects), dtype.type(self.background)), None


def _off(found: NDArray[np.integer[Any]], white: int) -> int:
    near = min(_NEAR, white // 3)
    return int(np.count_nonzero((found > near) & (found < white - near)))


def recognise_index(
    entries: Sequence[LabelEntry],
    base: Form,
    table: ClassTable | None,
    options: LabelOptions,
    where: str,
) -> Recognised:
    """Say how files of one number a pixel are to be read.

    Parameters
    ----------
    entries : sequence of LabelEntry
        Of which ``base`` is the form.
    base : Form
        Reads the numbers.
    table : ClassTable, optional
        What names the classes.
    options : LabelOptions
    where : str
        What messages call them, such as "the label maps in 'labels'".

    Raises
    ------
    InputError
        If it is not clear what the numbers stand for, or a file cannot be read.
    """
    classes = None if table is None else table.classes
    as_they_are = Recognised(base, classes, options.ignore)
    if table is not None and table.ids is not None:
        return _by_ids(_survey(entries, options, where, borders=False), base, table, options)
    if _seem_plain(entries, classes, options.ignore):
        return as_they_are
    survey = _survey(entries, options, where, borders=classes is None or len(classes) <= 2)
    white = _white_of(survey, classes)
    if white and (options.complete or white in _WHITES):
        return _black_and_white(survey, base, classes, options, white)
    if classes is None and options.complete:
        return _by_occurrence(survey, base, options) or as_they_are
    if classes is not None and survey.ids[:1] == [1] and survey.highest == len(classes):
        ids = tuple((k + 1, k) for k in range(len(classes)))
        form = Renumbered(base, ids, (options.ignore,), ignore_beside(len(classes), options.ignore))
        words = f"ids that begin at 1, named by {table.source if table else ''}"
        return Recognised(form, classes, form.ignore, words)
    return as_they_are


def _seem_plain(entries: Sequence[LabelEntry], classes: Classes | None, ignore: int) -> bool:
    """Whether ids look like classes; told by as few maps as say so."""
    seen = set[int]()
    for entry in entries:
        label = entry.read()
        seen |= pixels_of(label).keys()
        ids = sorted(seen - {ignore})
        if classes is not None and ids and not 0 <= ids[0] <= ids[-1] < len(classes):
            return False
        if classes is not None and len(classes) > 2:
            if ids[:1] == [0]:
                return True
        elif ids not in ([], [0]):
            grey = ids[0] < 0 or is_sparse(ids) or ids[-1] > 4 * _GREY
            return not grey and not Edges.of(label).softened
    return classes is not None and len(classes) > 2


def _survey(
    entries: Sequence[LabelEntry], options: LabelOptions, where: str, *, borders: bool
) -> LabelSurvey:
    found = LabelSurvey(where, options.ignore)
    for entry in entries:
        found.add(entry, *entry.read_with_palette(), borders=borders)
    return found


def _white_of(survey: LabelSurvey, classes: Classes | None) -> int:
    """Return the value of white in masks of black and white; 0 if they are something else."""
    values = sorted(survey.pixels)
    if classes is not None and len(classes) > 2:
        return 0
    if len(values) == 2 and values[0] == 0 and values[1] >= _GREY:
        return values[1]
    if len(values) < 3 or values[0] < 0 or not 255 - _NEAR <= values[-1] <= 255:
        return 0
    pixels, edge_pixels, *_ = survey.edges.counts
    inner = np.zeros(256, np.int64)  # pixels of each value that are surrounded by it
    inner[: len(pixels)] = pixels - edge_pixels
    black, white = inner[: _NEAR + 1].sum(), inner[255 - _NEAR :].sum()
    noise, between = inner[1 : _NEAR + 1].sum(), inner[_NEAR + 1 : 255 - _NEAR].sum()
    few = _between(survey, 255) <= REFUSE_OFF * survey.pixels.total()
    few &= bool(between <= _BETWEEN * (black + white) and noise <= _NOISE * black)
    return 255 if few and black and white else 0


def _between(survey: LabelSurvey, white: int) -> int:
    return sum(n for k, n in survey.pixels.items() if _NEAR < k < white - _NEAR)


def _black_and_white(
    survey: LabelSurvey,
    base: Form,
    classes: Classes | None,
    options: LabelOptions,
    white: int,
) -> Recognised:
    named = _two_classes(classes, options)
    ignore = ignore_beside(len(named), options.ignore)
    soft = len(survey.pixels) > 2
    notes = off_notes(
        _between(survey, white) if soft else 0,
        survey.pixels.total(),
        "neither black nor white",
    )
    shown = "black and white with soft borders" if soft else f"two values, 0 and {white}"
    last = named.names[-1]
    what = f"0 is '{named.names[0]}'" if options.has_background else "0 is unlabelled"
    return Recognised(
        TwoValues(base, white, 0 if options.has_background else ignore),
        named,
        ignore,
        f"{shown}: {what}, {white} is '{last}'",
        notes,
    )


def _two_classes(classes: Classes | None, options: LabelOptions) -> Classes:
    """Return the classes of masks of two values: as named, else "background" and "object"."""
    names = ("object",) if classes is None else classes.names
    colours = (default_colour(1),) if classes is None else classes.colours
    if not options.has_background:
        return Classes(names[-1:], colours[-1:])
    if len(names) == 2:
        return Classes(names, colours)
    if classes is not None and names[0].lower() in BACKGROUNDS:
        return named_classes((names[0], "object"))
    return Classes((options.background, *names), (default_colour(0), *_beside(colours)))


def _beside(colours: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return colours, none of which is that of the background."""
    return [default_colour(1) if colour == default_colour(0) else colour for colour in colours]


def off_notes(off: int, pixels: int, which: str) -> tuple[str, ...]:
    """Return a message about pixels that are not as expected, if there are many."""
    if off <= WARN_OFF * pixels:
        return ()
    return (
        f"{100 * off / pixels:.1f} % of the pixels are {which}, as at the borders of anti-aliased "
        "or JPEG masks: each got the class that is nearest. Better save masks without smoothing",
    )


def _by_ids(
    survey: LabelSurvey, base: Form, table: ClassTable, options: LabelOptions
) -> Recognised:
    """Return how to read maps whose ids a table lists; 0, if it does not, is the background."""
    assert table.ids is not None
    voids = set(table.voids)
    if not options.complete and survey.highest < len(table.classes):
        return Recognised(base, table.classes, options.ignore)  # given anew already, as dseg does
    if options.ignore not in table.ids:
        voids.add(options.ignore)
    if 0 in survey.pixels and 0 not in table.ids and 0 not in voids:
        if options.has_background:
            table = table.with_class(options.background, number=0)
        else:
            voids.add(0)
    assert table.ids is not None
    ignore = ignore_beside(len(table.classes), options.ignore)
    form = Renumbered(base, tuple(sorted(table.ids.items())), tuple(sorted(voids)), ignore)
    return Recognised(form, table.classes, ignore, f"ids as in {table.source}", table=table)


def _by_occurrence(survey: LabelSurvey, base: Form, options: LabelOptions) -> Recognised | None:
    """Return how to read ids with gaps that nothing names; None if they may be classes as are.

    Refused, see `checks`: soft borders, numbers of objects, and ids of which the highest may mark
    unlabelled pixels.
    """
    ids = survey.ids
    if not ids or not is_sparse(ids):
        return None
    unclear = survey.pixels[options.ignore] > 0 or ids[0] < 0 or ids[-1] > 65535
    lonely = len(ids) > 1 and ids[-1] - ids[-2] >= 128
    if unclear or lonely or survey.softened or survey.edges.softened:
        return None  # what is wrong is said when they are used
    check_palettes(survey)
    check_objects(survey)
    return _numbered_anew({number: k for k, number in enumerate(ids)}, base, options)


def _numbered_anew(classes_of: Mapping[int, int], base: Form, options: LabelOptions) -> Recognised:
    ids = list(classes_of)
    shown = ", ".join(map(str, ids[:6])) + (f", … {ids[-1]}" if len(ids) > 6 else "")
    ignore = ignore_beside(len(ids), options.ignore)
    form = Renumbered(base, tuple(classes_of.items()), (options.ignore,), ignore)
    names = named_classes([f"class {number}" for number in ids])
    return Recognised(form, names, ignore, f"ids with gaps, {shown}, as {len(ids)} classes")
