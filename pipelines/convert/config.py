"""What ``dseg convert`` is asked for, and what it tells of a run."""

from dataclasses import dataclass
from pathlib import Path

from ...store.urls.location import Location

__all__ = ["ConvertConfig", "ConvertSummary"]


@dataclass(frozen=True)
class ConvertConfig:
    """One run of ``dseg convert``.

    Parameters
    ----------
    masks : path
        A folder of masks of ``dseg predict``, or of label maps.
    to : str
        Name of the format: one of `registry.writable`.
    out : path
        File or folder to write, as the format has it.
    model : path, optional
        The model that names the classes; by default those that stand with the masks, or of the
        folder ``model`` if its masks they are.
    images : path, optional
        Folder of the images, whose names the annotations get; by default those that ``dseg
        predict`` has recorded.
    prefix : str
        Put before the name of each image.
    leave_out : tuple of str
        Classes whose pixels are not written; by default one that is called background.
    ignore : int
        Id of the masks' pixels without a class, which are not written.
    min_size : int
        Objects of fewer pixels become part of what is around them.
    list_file : path, optional
        Stems of the masks to take.
    overwrite : bool
        Replace a file.
    """

    masks: Location
    to: str
    out: Path
    model: Path | None = None
    images: Location | None = None
    prefix: str = ""
    leave_out: tuple[str, ...] = ()
    ignore: int = 255
    min_size: int = 0
    list_file: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class ConvertSummary:
    """What a run did.

    Parameters
    ----------
    out, to : str
        What was written, and in which format.
    images : int
    classes : tuple of str
        Those that are written.
    left_out : tuple of str
        Those that are not.
    """

    out: str
    to: str
    images: int
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
