"""Checks of the label maps of a run before training or scoring, on the statistics of `survey`.

If no file names the classes, ids that look like something else are refused: grey values, softened
borders, numbers of objects. If a file names them, the ids are taken as intended, and the same signs
only give a warning. An id beyond the classes is always refused.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from .classes import Classes
from .edges import Edges
from .label_maps import IGNORED
from .objects import check_objects
from .palettes import check_palettes, odd_colours
from .survey import LabelSurvey

__all__ = ["check_ids", "check_label_maps", "check_masks", "check_size", "is_sparse"]

_MARKS = {-1, -100, 255, 65535, 2**31 - 1, 2**32 - 1}
"""Ids that programs give to pixels without a class."""

_SOFTENED = (
    "Anti-aliasing, resizing with interpolation or JPEG create such ids: save label maps "
    "without anti-aliasing, resize them by nearest neighbour, and never save them as JPEG; or, if "
    "they are grey values, list these as colours in classes.json: then the nearest counts"
)
_MEANT = "If these are the right class ids, name the classes in classes.txt"

# Without names for them, ids that leave so many times more numbers unused are no class ids; nor is
# a single one that lies so far beyond all others.
_FEW, _LONELY = 16, 128
_SHOWN = 8
_MANY = 8


def check_size(label: tuple[int, ...], image: tuple[int, ...], name: str, image_name: str) -> None:
    """Refuse a label map whose height and width are not those of its image.

    Raises
    ------
    InputError
        Naming both.
    """
    if label != image:
        stored = (
            ". If it is of the stored pixels of an image that EXIF turns, `dseg labels convert` "
            "turns it"
        )
        raise InputError(
            f"label map '{name}' is {label[1]}×{label[0]} but image '{image_name}' is "
            f"{image[1]}×{image[0]}: a label map must have its image's size. Was the image resized "
            f"or turned?{stored if label == image[::-1] else ''}"
        )


def check_ids(
    label: NDArray[np.integer],
    ids: Iterable[int],
    ignore: int,
    classes: Classes | None,
    what: str,
) -> None:
    """Refuse a label map or mask with an id that is no class.

    Parameters
    ----------
    label : array of shape (H, W), integer
    ids : iterable of int
        Its ids, ascending, but for the ignore label; such as `LabelMapStats.pixels`.
    ignore : int
    classes : Classes, optional
        None where no file names them: all ids below 65535 may be classes.
    what : str
        What the message calls it, such as "label map '7.png'".

    Raises
    ------
    InputError
        Naming the id, and what it may be.
    """
    n = IGNORED if classes is None else min(len(classes), IGNORED)
    wrong = [k for k in ids if not 0 <= k < n]
    if not wrong:
        return
    first = wrong[0]
    if all(k in _MARKS or k == np.iinfo(label.dtype).max for k in wrong):
        raise InputError(
            f"{what} has the id {first}, which is not a class, while the ignore label is "
            f"{ignore}. If {first} marks unlabelled pixels, use --ignore {first}; if it is "
            "an object, renumber it: class ids are 0, 1, 2, …"
        )
    allowed = f"there are {n} classes, 0 to {n - 1}, and the ignore label is {ignore}"
    if classes is None:
        allowed = f"a class id is at most {n - 1}, and the ignore label is {ignore}"
    elif n == 1:
        allowed = f"there is one class, 0, and the ignore label is {ignore}"
    why = (
        "Is a class missing in classes.txt? If the id is a mistake, give those pixels their "
        f"class id; if they are unlabelled, use --ignore {first}"
    )
    if Edges.of(label).softened:
        why = f"Many ids occur only along the borders of others. {_SOFTENED}"
    raise InputError(f"{what} has the id {first} but {allowed}. {why}")


def check_label_maps(survey: LabelSurvey, classes: Classes | None) -> list[str]:
    """Refuse label maps without a class, or whose ids are hardly classes.

    Parameters
    ----------
    survey : LabelSurvey
    classes : Classes, optional
        As named by a file; None where none names them.

    Returns
    -------
    list of str
        Messages about what is odd but may be intended.

    Raises
    ------
    InputError
        Saying what they look like, and what to do.
    """
    if not survey.ids:
        raise InputError(
            f"no pixel of {survey.where} has a class: all are {survey.ignore}, the ignore "
            "label. Is the ignore label another id (--ignore)?"
        )
    check_palettes(survey)
    if classes is not None:
        return _odd_though_named(survey, classes)
    _refuse_softened(survey)
    check_objects(survey)  # before grey values: numbers of their own leave many ids unused too
    _refuse_grey_values(survey)
    return _in_one_map(survey)


def check_masks(masks: LabelSurvey, labels: LabelSurvey, classes: Classes | None) -> list[str]:
    """Refuse masks to be scored whose ids are hardly classes; as `check_label_maps`.

    Ids that the label maps have too are not refused: predictions may be noisy, or few.
    """
    check_palettes(masks)
    ids, ignore = masks.ids, masks.ignore
    if _is_binary(masks):
        raise InputError(_binary(masks))
    if classes is None and masks.highest > labels.highest:
        _refuse_softened(masks)
        if is_sparse(ids):
            _refuse_as_grey(masks)
    notes = []
    if masks.softened or masks.edges.softened:
        notes.append(f"{_where_softened(masks)}. {_SOFTENED}")
    if masks.pixels[ignore] and not 0 <= ignore <= labels.highest:
        notes.append(
            f"{masks.pixels[ignore]} pixels of {masks.where} are {ignore}, the ignore label: "
            "they count as wrong where the label map has a class"
        )
    return notes


def _is_binary(survey: LabelSurvey) -> bool:
    """Whether there are black and white only, white being the ignore label."""
    return survey.ids == [0] and survey.ignore in (255, 65535) and survey.pixels[survey.ignore] > 0


def _binary(survey: LabelSurvey) -> str:
    ignore = survey.ignore
    return (
        f"{survey.where} have only the ids 0, {ignore}: are these grey values? {ignore} means "
        "unlabelled, so these objects would not count: renumber them to their class id, such as 1"
    )


def is_sparse(ids: Sequence[int]) -> bool:
    """Whether so many numbers between ids, ascending, are unused that they are hardly classes."""
    if len(ids) == 0:
        return False
    lonely = len(ids) > 1 and ids[-1] - ids[-2] >= _LONELY
    return lonely or ids[-1] >= _FEW * max(2, len(ids))


def _refuse_grey_values(survey: LabelSurvey) -> None:
    """Refuse ids that look like the grey values of a picture of masks, such as 0, 128 and 255."""
    if is_sparse(survey.ids) or _is_binary(survey):
        _refuse_as_grey(survey)


def _refuse_as_grey(survey: LabelSurvey) -> None:
    found, ignore = sorted(survey.pixels), survey.ignore
    if _is_binary(survey):
        raise InputError(
            f"{_binary(survey)}. If {ignore} is right, name the classes in classes.txt"
        )
    shown = ", ".join(map(str, found))
    if len(found) > _SHOWN:
        shown = ", ".join(map(str, found[: _SHOWN - 1])) + f", … {found[-1]}"
    highest = survey.highest
    unlabelled = f" If {highest} marks unlabelled pixels, use --ignore {highest}."
    raise InputError(
        f"{survey.where} have only the ids {shown}: are these grey values? Class ids are 0, 1, 2, "
        f"… ({ignore} means unlabelled): renumber them, or list them in classes.json, "
        f"{_listed(found)}.{unlabelled if highest > 0 else ''} {_MEANT}"
    )


def _listed(ids: Sequence[int]) -> str:
    """Return the beginning of a ``classes.json`` that gives classes these ids."""
    entries = [f'{{"id": {number}, "name": …}}' for number in ids[:3]]
    return f"[{', '.join(entries)}{', …' if len(ids) > 3 else ''}]"


def _refuse_softened(survey: LabelSurvey) -> None:
    if survey.softened or survey.edges.softened:
        raise InputError(f"{_where_softened(survey)}. {_SOFTENED}. {_MEANT}")


def _where_softened(survey: LabelSurvey) -> str:
    first = survey.softened[0] if survey.softened else survey.softest
    name = "" if first is None else f"'{first.name}'"
    ids = survey.ids
    others = len(survey.softened) - 1
    more = f" and {others} more" if others > 0 else ""
    return (
        f"{survey.where} have {len(ids)} ids, {ids[0]} to {ids[-1]}, many of them only along the "
        f"borders of others (in {name}{more})"
    )


def _odd_though_named(survey: LabelSurvey, classes: Classes) -> list[str]:
    notes = odd_colours(survey, classes)
    if survey.softened or survey.edges.softened:
        notes.append(f"{_where_softened(survey)}. {_SOFTENED}")
    if _is_binary(survey) and len(classes) > 1:
        ignore = survey.ignore
        notes.append(
            f"{survey.where} have only the ids 0 ('{classes.names[0]}') and {ignore}, which means "
            f"unlabelled: only '{classes.names[0]}' counts. If {ignore} is an object, renumber it"
        )
    return notes


def _in_one_map(survey: LabelSurvey) -> list[str]:
    ids = survey.ids
    maps = Counter(k for seen in survey.maps for k in seen.pixels)
    alone = sum(n == 1 for n in maps.values())
    if len(survey.maps) < 3 or len(ids) < _MANY or 2 * alone < len(ids):
        return []
    return [
        f"{alone} of the {len(ids)} ids occur in one label map only: are they classes? If so, name "
        "them in classes.txt"
    ]
