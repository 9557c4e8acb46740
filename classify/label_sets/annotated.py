"""Label maps from annotation files: shapes of named classes, drawn when a label map is read."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.errors import InputError
from ...store.names import stem_of
from ...store.urls.location import Location
from ..annotations.shapes.model import AnnotatedImage, Annotations
from ..annotations.shapes.rasterise import rasterise
from ..labels.classes import Classes, default_colour
from ..labels.label_entry import LabelEntry
from ..labels.label_maps import IGNORED
from .class_table import BACKGROUNDS
from .label_set import LabelOptions, LabelSet, dtype_of, ignore_beside

__all__ = ["Annotated", "annotated_set"]


@dataclass(frozen=True, eq=False)
class Annotated:
    """Shapes of an image, drawn at the size that their file states, or else the image's.

    Parameters
    ----------
    image : AnnotatedImage
    ids : tuple of (str, int)
        The id of each label.
    background : int
        The id of pixels without a shape.
    ignore : int
        The id of pixels that nothing is said of.
    """

    image: AnnotatedImage
    ids: tuple[tuple[str, int], ...]
    background: int
    ignore: int

    def read(
        self, file: Location, what: str, size: tuple[int, int] | None
    ) -> tuple[NDArray[np.integer[Any]], None]:
        """Draw a label map, see `Form.read`."""
        size = self.image.size or size
        if size is None:
            raise InputError(
                f"'{file}' does not say how large '{self.image.name}' is: the image is needed"
            )
        background = IGNORED if self.background == self.ignore else self.background
        drawn = rasterise(self.image, dict(self.ids), size, background=background, ignored=IGNORED)
        n = 1 + max((k for _, k in self.ids), default=0)
        ids = drawn.astype(dtype_of(n, self.ignore))
        ids[drawn == IGNORED] = self.ignore
        return ids, None


def annotated_set(
    annotations: Annotations,
    source: Path,
    known: Collection[str] | None,
    options: LabelOptions,
) -> LabelSet:
    """Return the label maps that annotation files describe.

    Parameters
    ----------
    annotations : Annotations
    source : path
        The file or folder.
    known : collection of str, optional
        Stems of the images; None to take the file's names as they are.
    options : LabelOptions

    Raises
    ------
    InputError
        If two of the file's images are one image.
    """
    stems = _matched([image.name for image in annotations.images], known)
    classes, background = _classes_of(annotations, options)
    ignore = ignore_beside(len(classes), options.ignore)
    ids = tuple((name, k) for k, name in enumerate(classes.names))
    outside = ignore if background is None else 0
    entries: dict[str, LabelEntry] = {}
    for image, stem in zip(annotations.images, stems, strict=True):
        if stem is None:
            continue
        if stem in entries:
            raise InputError(
                f"'{source}' describes the image '{stem}' twice, as '{entries[stem].image}' and "
                f"'{image.name}': leave one of them out"
            )
        form = Annotated(image, ids, outside, ignore)
        entries[stem] = LabelEntry(stem, source, form, options.what, image.name)
    unmatched = tuple(
        image.name for image, stem in zip(annotations.images, stems, strict=True) if stem is None
    )
    shown = "unlabelled" if background is None else f"'{background}'"
    described = (
        f"{annotations.kind} annotations, {len(annotations.classes)} classes, what no shape covers "
        f"is {shown}, {len(entries)} of {len(annotations.images)} images"
    )
    return LabelSet(
        source,
        {stem: entries[stem] for stem in sorted(entries)},
        classes,
        ignore,
        described,
        notes=annotations.notes,
        unmatched=unmatched,
    )


def _classes_of(annotations: Annotations, options: LabelOptions) -> tuple[Classes, str | None]:
    """Return the classes, and which of them pixels without a shape are of, if any: the first.

    A class of the file that is called so is the background.
    """
    listed = dict(annotations.classes)
    usual = {options.background.lower()} | BACKGROUNDS
    background = next((name for name in listed if name.lower() in usual), None)
    covers = options.has_background and not annotations.sparse
    if background is None and covers:
        background = options.background
    if background is not None:
        listed = {background: listed.pop(background, None), **listed}
    colours = (colour or default_colour(k) for k, colour in enumerate(listed.values()))
    classes = Classes(tuple(listed), tuple(colours))
    return classes, background if covers else None


def _matched(names: list[str], known: Collection[str] | None) -> list[str | None]:
    """Return the stem of the image that each name is of; None where there is none.

    By the whole path; else by the end of it that is a known path; else by the name alone, if only
    one image has it.
    """
    if known is None:
        return [stem_of(name) for name in names]
    stems = set(known)
    alone = Counter(PurePosixPath(stem).name for stem in stems)
    by_name = {PurePosixPath(stem).name: stem for stem in stems}
    named_twice = Counter(PurePosixPath(stem_of(name)).name for name in names)
    found: list[str | None] = []
    for name in names:
        parts = PurePosixPath(stem_of(name)).parts
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        stem = next((tail for tail in tails if tail in stems), None)
        if stem is None and alone[parts[-1]] == 1 and named_twice[parts[-1]] == 1:
            stem = by_name[parts[-1]]
        found.append(stem)
    return found
