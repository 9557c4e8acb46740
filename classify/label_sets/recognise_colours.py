"""What the colours of masks stand for: by a list of colours, a known palette, or one by one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from ..labels.classes import Classes, Colour, default_classes, default_colour
from ..labels.label_entry import LabelEntry
from .class_table import VOID_BORDER, ClassTable
from .colour_maps import Coloured, bands, colours_in, flat, packed, unpacked
from .index_maps import REFUSE_OFF, off_notes
from .known_tables import voc_colours
from .label_set import LabelOptions, Recognised, ignore_beside
from .pixels import read_pixels

__all__ = ["recognise_colours"]

MOST_COLOURS = 64
"""That are taken for a class each, where nothing lists them: more is a picture."""

_MOST_COUNTED = 4096

_APART = 16
"""How far a mixture of two colours may be from the line between them."""

_RINGING = 32
"""How far from a colour the sharpening of some resizing leads, beside borders."""

_BLACK: Colour = (0, 0, 0)


@dataclass
class _Seen:
    """The colours of all masks.

    Parameters
    ----------
    pixels, areas, maps : Counter
        By packed colour: its pixels, those surrounded by it, and the masks it is in.
    total : int
        All pixels that are not transparent.
    clear : bool
        Whether some are transparent.
    lossy : bool
        Whether a file's format may have changed colours.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    areas: Counter[int] = field(default_factory=Counter)
    maps: Counter[int] = field(default_factory=Counter)
    total: int = 0
    clear: bool = False
    lossy: bool = False


def recognise_colours(
    entries: Sequence[LabelEntry], table: ClassTable | None, options: LabelOptions, where: str
) -> Recognised:
    """Say how masks in colours are to be read.

    Parameters
    ----------
    entries : sequence of LabelEntry
    table : ClassTable, optional
        What lists the colours.
    options : LabelOptions
    where : str
        What messages call them, such as "the label maps in 'labels'".

    Raises
    ------
    InputError
        If the colours are not clear: nothing lists them and there are many, or they are not those
        that are listed.
    """
    if table is not None and table.colours:
        return _listed(entries, table, options)
    seen = _seen(entries, options.what)
    colours = [] if seen.lossy else _own_colours(seen)
    if not colours or len(colours) > MOST_COLOURS:
        raise InputError(_advice(where, seen))
    if table is not None and len(table.classes) != len(colours):
        raise InputError(
            f"{where} have {len(colours)} colours ({_shown(colours)}), but {table.source} names "
            f"{len(table.classes)} classes, without their colours: write them as classes.json, "
            f"{_template(colours)}"
        )
    if table is not None:
        raise InputError(
            f"{where} have the colours {_shown(colours)}, but {table.source} does not say which is "
            f"which class: write them as classes.json, {_template(colours)}"
        )
    return _one_by_one(entries, seen, colours, options, where)


def _listed(entries: Sequence[LabelEntry], table: ClassTable, options: LabelOptions) -> Recognised:
    """Return how to read colours that a table lists; black, if it does not, is the background."""
    if VOID_BORDER not in table.colours:
        table = replace(table, colours={**table.colours, VOID_BORDER: -1})
    seen = _seen(entries, options.what)
    if _BLACK not in table.colours and seen.areas[0]:
        if options.has_background:
            table = table.with_class(options.background, colour=_BLACK)
        else:
            table = replace(table, colours={**table.colours, _BLACK: -1})
    return _read_by(entries, table, options, seen.clear, f"colours as in {table.source}")


def _read_by(
    entries: Sequence[LabelEntry],
    table: ClassTable,
    options: LabelOptions,
    clear: bool,
    words: str,
    listed: str | None = None,
) -> Recognised:
    if clear and options.has_background and not _background_of(table, options.background):
        table = table.with_class(options.background)
    background = _background_of(table, options.background)
    classes = table.classes
    ignore = ignore_beside(len(classes), options.ignore)
    transparent = classes.names.index(background) if clear and background else ignore
    form = Coloured.of(table.colours, ignore, transparent, listed or table.source)
    off = pixels = 0
    for entry in entries:
        _, own, size = form.read_and_count(entry.file, entry.what)
        if own > REFUSE_OFF * size:
            form.read(entry.file, entry.what, None)  # which says what is wrong
        off, pixels = off + own, pixels + size
    if clear:
        words += f"; transparent is {f'{background!r}' if background else 'unlabelled'}"
    return Recognised(
        form,
        classes,
        ignore,
        words,
        off_notes(off, pixels, "of a colour that is not listed"),
        table,
    )


def _background_of(table: ClassTable, name: str) -> str | None:
    """Return the class that is the background: of this name, or black."""
    if name in table.classes.names:
        return name
    black = table.colours.get(_BLACK, -1)
    return table.classes.names[black] if black >= 0 else None


def _seen(entries: Iterable[LabelEntry], what: str) -> _Seen:
    seen = _Seen()
    for entry in entries:
        pixels = read_pixels(entry.file, what)
        colours = packed(colours_in(pixels))
        opaque = np.ones(colours.shape, bool) if pixels.clear is None else ~pixels.clear
        own = _counted(colours, opaque)
        seen.pixels.update(own)
        seen.maps.update(own.keys())
        seen.areas.update(_counted(colours, opaque & flat(colours)))
        seen.total += int(opaque.sum())
        seen.clear |= pixels.clear is not None
        seen.lossy |= pixels.lossy
        for counter in (seen.pixels, seen.areas, seen.maps):
            _keep_most(counter)
    return seen


def _counted(colours: NDArray[np.uint32], places: NDArray[np.bool_]) -> Counter[int]:
    """Return the pixels of each colour, of the most common ones."""
    found = Counter[int]()
    for rows in bands(colours.shape):
        seen = colours[rows][places[rows]]
        if not len(seen):
            continue
        starts = np.flatnonzero(np.concatenate([[True], seen[1:] != seen[:-1]]))  # of runs
        lengths = np.diff(np.append(starts, len(seen)))
        numbers, inverse = np.unique(seen[starts], return_inverse=True)
        counts = np.bincount(inverse, lengths).astype(np.int64)
        most = np.argsort(-counts, kind="stable")[:_MOST_COUNTED]
        found.update(dict(zip(numbers[most].tolist(), counts[most].tolist(), strict=True)))
        _keep_most(found)
    return found


def _keep_most(counter: Counter[int]) -> None:
    if len(counter) > 4 * _MOST_COUNTED:
        kept = dict(counter.most_common(_MOST_COUNTED))
        counter.clear()
        counter.update(kept)


def _own_colours(seen: _Seen) -> list[int]:
    """Return the colours that are no mixtures of others, as at smoothed borders; () if too many."""
    found: list[int] = []
    for colour, _ in seen.pixels.most_common(8 * MOST_COLOURS):
        if seen.areas[colour] or not _is_of_border(unpacked(colour), found):
            found.append(colour)
        if len(found) > MOST_COLOURS:
            return []
    rest = seen.total - sum(seen.pixels[colour] for colour in found)
    return [] if rest > REFUSE_OFF * seen.total else sorted(found)


def _is_of_border(colour: Colour, others: Sequence[int]) -> bool:
    """Whether a colour is nearly one of others, or lies between two of them."""
    ends = np.array([unpacked(other) for other in others], float).reshape(-1, 3)
    own = np.array(colour, float)
    if (np.abs(ends - own).max(axis=1) <= _RINGING).any():
        return True
    for first in ends:
        along = ends - first
        lengths = np.square(along).sum(axis=1)
        share = along @ (own - first) / np.where(lengths > 0, lengths, np.inf)
        away = np.abs(first + share[:, None] * along - own).max(axis=1)
        if ((share > 0) & (share < 1) & (away <= _APART)).any():
            return True
    return False


def _one_by_one(
    entries: Sequence[LabelEntry],
    seen: _Seen,
    colours: Sequence[int],
    options: LabelOptions,
    where: str,
) -> Recognised:
    """Return how to read colours that nothing lists: VOC's palette, or a class each."""
    known, found = voc_colours(), [unpacked(colour) for colour in colours]
    if _BLACK in found and len(found) > 1 and all(colour in known for colour in found):
        n = 1 + max(known[colour] for colour in found)
        listed = {colour: k for colour, k in known.items() if k < n}
        table = ClassTable("VOC's palette", default_classes(n), colours=listed)
        found_by = _read_by(entries, table, options, seen.clear, "colours of VOC's palette")
        return replace(found_by, classes=None)
    alone = sum(seen.maps[colour] == 1 for colour in colours)
    if len(entries) >= 3 and len(colours) >= 8 and 2 * alone >= len(colours):
        raise InputError(
            f"{alone} of the {len(colours)} colours of {where} are in one of them only: does each "
            "object have its own colour? Give all objects of a class one colour. If they are "
            f"classes, list them in classes.json, {_template(colours)}"
        )
    names = ["#" + bytes(colour).hex() for colour in found]
    first = seen.clear and options.has_background  # the background, which is transparent
    by_colour = {colour: k + first for k, colour in enumerate(found)}
    if first:
        names, found = [options.background, *names], [_unlike(found), *found]
    table = ClassTable("the masks", Classes(tuple(names), tuple(found)), colours=by_colour)
    words = f"{len(by_colour)} colours, each a class"
    return _read_by(entries, table, options, seen.clear, words, "most masks")


def _unlike(colours: Sequence[Colour]) -> Colour:
    """Return a colour for the background that is none of others."""
    return next(colour for k in range(256) if (colour := default_colour(k)) not in colours)


def _shown(colours: Sequence[int]) -> str:
    shown = ", ".join("#" + bytes(unpacked(colour)).hex() for colour in colours[:6])
    return shown + (f" and {len(colours) - 6} more" if len(colours) > 6 else "")


def _template(colours: Sequence[int]) -> str:
    entries = [f'{{"name": …, "colour": {list(unpacked(colour))}}}' for colour in colours[:3]]
    return f"[{', '.join([*entries, *(['…'] if len(colours) > 3 else [])])}]"


def _advice(where: str, seen: _Seen) -> str:
    like = Counter[int]()  # colours that share their upper bits
    for colour, n in seen.pixels.items():
        like[colour & 0xE0E0E0] += n
    common = [
        max((c for c in seen.pixels if c & 0xE0E0E0 == most), key=seen.pixels.__getitem__)
        for most, n in like.most_common(6)
        if n >= 0.01 * seen.total
    ]
    return (
        f"{where} are pictures of {len(seen.pixels)} or more colours, and no file lists which "
        f"colour is which class. The most common are {_shown(common)}: list the classes in "
        f"classes.json, {_template(common)}, or in a file for `dseg labels convert --classes`; if "
        "they are photographs, give the folder of label maps"
    )
