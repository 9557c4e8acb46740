"""What formats share that have a file per image, whose name tells the image."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ...store.errors import InputError
from ...store.names import composed, stem_of, why_unsafe
from .figures import is_sparse
from .format import Candidate
from .model import AnnotatedImage, Annotations, Colour, Shape

__all__ = ["annotations_of", "file_for", "image_beside", "image_name", "without_ending"]

_IMAGES = (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_TIFFS = (".tif", ".tiff", ".TIF", ".TIFF")


def without_ending(name: str, endings: Collection[str]) -> str | None:
    """Return a file's name without its ending, the longest that fits; None if it has another.

    Examples
    --------
    >>> without_ending("a/7.ome.zarr", (".zarr", ".ome.zarr")), without_ending("7.png", (".zarr",))
    ('a/7', None)
    """
    for ending in sorted(endings, key=len, reverse=True):
        if name.lower().endswith(ending) and len(name.rpartition("/")[2]) > len(ending):
            return name[: -len(ending)]
    return None


def image_name(name: str) -> str:
    """Return what an annotation file's name without its ending says of the image's name.

    It is that of the image with or without the image's own ending: "7.tif" and "7" are both of
    7.tif. Names with other dots get an ending, for what follows the last dot is taken for one.

    Examples
    --------
    >>> image_name("a/7"), image_name("7.tif"), image_name("7.front")
    ('a/7', '7.tif', '7.front.*')
    """
    name = composed(name)
    if stem_of(name) == name or name.lower().endswith(_IMAGES):
        return name
    return f"{name}.*"


def file_for(out: Path, name: str, ending: str) -> Path:
    """Return the file to write for an image; the folder that it is in is made.

    Parameters
    ----------
    out : path
        Where all are written.
    name : str
        Of the image.
    ending : str
        In place of the image's own.

    Raises
    ------
    InputError
        If the name leads out of the folder, or the file exists: another image has this name.
    """
    file = out / f"{stem_of(name)}{ending}"
    reason = why_unsafe(name) or ("another image has this name" if file.exists() else None)
    if reason is not None:
        raise InputError(f"'{file.name}' cannot be written for '{name}': {reason}")
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def image_beside(candidate: Candidate, name: str) -> Path | None:
    """Return the TIFF that an annotation file belongs to, if it is at hand.

    Parameters
    ----------
    candidate : Candidate
        The annotation file; the image may be in its folder.
    name : str
        As `image_name` gives it.
    """
    last = stem_of(name).rpartition("/")[2]
    beside = (candidate.path.parent / (last + suffix) for suffix in _TIFFS)
    return next((path for path in beside if path.is_file()), None)


def annotations_of(
    kind: str,
    name: str,
    shapes: Iterable[Shape],
    colours: Mapping[str, Colour | None],
    notes: Iterable[str] = (),
) -> Annotations:
    """Return what the file of one image says, in a format that gives classes no order.

    They are sorted by name; strokes and points make the annotations sparse.

    Parameters
    ----------
    kind : str
        Name of the format.
    name : str
        Of the image.
    shapes : iterable of Shape
    colours : mapping of str to colour or None
        Of each class.
    notes : iterable of str
    """
    image = AnnotatedImage(name, tuple(shapes))
    classes = tuple((label, colours[label]) for label in sorted(colours))
    return Annotations(kind, (image,), classes, is_sparse(image.shapes), tuple(notes))
