"""All annotation formats: which of them a file or folder is of, and reading and writing it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from ...store.atomic_folder import atomic_folder, temporary_path
from ...store.errors import InputError
from ...store.failed_writes import writing
from ...store.urls.location import UrlPath, location
from ...store.urls.walking import lower_suffix, walk, within
from .files.format import Candidate, ClassToWrite, Format, MaskToWrite
from .science.geojson import GEOJSON, GEOJSON_MAP
from .science.imagej import IMAGEJ
from .science.mask_tiff import GEOTIFF, TIFF
from .science.napari import NAPARI
from .science.ome_zarr import OME_ZARR
from .shapes.model import AnnotatedImage, Annotations, Colour
from .tools.coco import COCO
from .tools.cvat import CVAT
from .tools.label_studio import LABEL_STUDIO
from .tools.labelme import LABELME
from .tools.pascal_voc import PASCAL_VOC

__all__ = ["FORMATS", "format_named", "open_annotations", "writable", "write_annotations"]

FORMATS: tuple[Format, ...] = (
    *(COCO, CVAT, LABEL_STUDIO, LABELME, PASCAL_VOC),
    *(GEOJSON, GEOJSON_MAP, GEOTIFF, IMAGEJ, NAPARI, OME_ZARR, TIFF),
)
"""A new format is a module with a `Format`, and its name here."""


def open_annotations(path: Path) -> Annotations | None:
    """Read an annotation file, or a folder or zip file with one or many of one format.

    The format is recognised by the content. Of a folder, sub-folders are read too; hidden files,
    and files that are no annotations, are left out.

    Returns
    -------
    Annotations or None
        None if there is no annotation file.

    Raises
    ------
    InputError
        If a file is damaged, is of a format that dseg does not read, or files of several formats,
        or several files on one image where the format has one, are in the folder.
    """
    found: tuple[Format, list[tuple[Candidate, Annotations]]] | None = None
    for candidate in _candidates(path):
        kind = _format_of(candidate)
        if kind is None:
            continue
        if found is None:
            found = kind, []
        if found[0] is not kind:
            first = found[1][0][0].path
            raise InputError(
                f"'{path}' holds annotations of several formats: '{first}' is {found[0].title}, "
                f"'{candidate.path}' is {kind.title}. Give a folder with one of them, or a file"
            )
        annotations = _read(kind, candidate)
        # Not the candidate itself, which holds the content of its file.
        found[1].append((Candidate(candidate.path, candidate.within), annotations))
    return None if found is None else _joined(path, *found)


def _candidates(path: Path) -> Iterator[Candidate]:
    """Yield a file, or a folder itself and then its files, in the order of their names."""
    whole = Candidate(path)
    yield whole
    if whole.head.startswith(b"PK") and _format_of(whole) is None:
        yield from _zipped(path)
    if not path.is_dir() or _format_of(whole) is not None:
        return
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in tuple(folders):
            folder = Candidate(Path(parent, name), Path(parent, name).relative_to(path).as_posix())
            if _format_of(folder) is not None:
                folders.remove(name)
                yield folder
        for name in sorted(files):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file():
                yield Candidate(file, file.relative_to(path).as_posix())


def _zipped(path: Path) -> Iterator[Candidate]:
    """Yield the annotation files in a zip file, as tools export them, perhaps beside images."""
    root = location(path)
    if not isinstance(root, UrlPath):  # of another name
        return
    for file in walk(root).files:
        if lower_suffix(file) in (".json", ".xml"):
            # What stands for a Path: it is opened, and its name is shown.
            candidate = Candidate(cast(Path, file), within(file, root))
            kind = _format_of(candidate)
            if kind is not None and kind.in_zip:
                yield candidate


def _format_of(candidate: Candidate) -> Format | None:
    matching = [kind for kind in FORMATS if kind.recognise and kind.recognise(candidate)]
    if len(matching) > 1:
        titles = " and ".join(kind.title for kind in matching)
        raise InputError(f"'{candidate.path}' may be {titles}: dseg cannot tell which")
    return matching[0] if matching else None


def _read(kind: Format, candidate: Candidate) -> Annotations:
    assert kind.read is not None  # as of all that are recognised
    try:
        return kind.read(candidate)
    except InputError as error:
        raise InputError(f"'{candidate.path}' ({kind.title}): {error}") from error


def _joined(
    path: Path, kind: Format, parts: Sequence[tuple[Candidate, Annotations]]
) -> Annotations:
    """Return what all files of a folder say."""
    if len(parts) == 1:
        return parts[0][1]
    images: dict[str, tuple[AnnotatedImage, Path]] = {}
    classes: dict[str, Colour | None] = {}
    notes: dict[str, None] = {}
    for candidate, annotations in parts:
        for image in annotations.images:
            before, other = images.setdefault(image.name, (image, candidate.path))
            if other != candidate.path and kind.several_per_image:
                shapes = (*before.shapes, *image.shapes)
                images[image.name] = replace(before, shapes=shapes), other
            elif other != candidate.path:
                raise InputError(
                    f"both '{other}' and '{candidate.path}' annotate '{image.name}': remove one "
                    f"of them from '{path}'"
                )
        for name, colour in annotations.classes:
            classes[name] = classes.get(name) or colour
        notes |= dict.fromkeys(f"'{candidate.within}': {note}" for note in annotations.notes)
    named = list(classes.items())
    return Annotations(
        kind=kind.title,
        images=tuple(image for image, _ in images.values()),
        classes=tuple(named if kind.orders_classes else sorted(named, key=lambda one: one[0])),
        sparse=any(annotations.sparse for _, annotations in parts),
        notes=tuple(notes),
    )


def writable() -> tuple[str, ...]:
    """Return the names of the formats that masks can be written in."""
    return tuple(kind.name for kind in FORMATS if kind.write is not None)


def format_named(name: str) -> Format:
    """Return a format that masks can be written in.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    for kind in FORMATS:
        if kind.name == name and kind.write is not None:
            return kind
    raise InputError(f"'{name}' is no format that dseg writes: give one of {', '.join(writable())}")


def write_annotations(
    name: str,
    masks: Iterable[MaskToWrite],
    classes: Sequence[ClassToWrite],
    out: Path,
    *,
    prefix: str = "",
) -> None:
    """Write masks as annotations of another program; what was there is replaced when all is done.

    Parameters
    ----------
    name : str
        Of the format: one of `writable`.
    masks : iterable of MaskToWrite
        Taken one after the other; none is kept.
    classes : sequence of ClassToWrite
        Other pixels are left out.
    out : path
        A file or a folder, as the format's ``target`` says.
    prefix : str
        Put before the name of each image, as a folder or URL.

    Raises
    ------
    InputError
        If there is no such format, or it cannot say what is asked for.
    DsegError
        If nothing can be written.
    """
    kind = format_named(name)
    assert kind.write is not None
    if kind.target == "folder":
        with atomic_folder(out) as made:
            kind.write(masks, classes, made, prefix)
        return
    part = temporary_path(out)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            kind.write(masks, classes, part, prefix)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
