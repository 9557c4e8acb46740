"""The label maps of a run, in whatever form they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...store.urls.location import Location
from ..labels.classes import Classes
from ..labels.label_entry import PLAIN, Form, LabelEntry
from ..labels.label_maps import IGNORED
from .class_table import ClassTable

__all__ = ["UNLABELLED", "LabelOptions", "LabelSet", "Recognised", "dtype_of", "ignore_beside"]

UNLABELLED = "unlabelled"
"""In place of the name of a background: what nothing marks has no class."""


@dataclass(frozen=True)
class LabelOptions:
    """What a user says of label maps.

    Parameters
    ----------
    ignore : int
        Id of pixels without a class, in files of ids.
    background : str
        Name of the class of what nothing marks: 0 in masks of two values, transparent pixels,
        what is outside of shapes. `UNLABELLED` for none.
    classes_file : path, optional
        What is read in place of a ``classes.json`` beside the label maps.
    what : str
        What errors call a label map.
    complete : bool
        Whether each class may be expected in them: if not, as in masks to be scored, which ids or
        colours occur says nothing of what they stand for.
    """

    ignore: int = 255
    background: str = "background"
    classes_file: Location | None = None
    what: str = "label map"
    complete: bool = True

    @property
    def has_background(self) -> bool:
        """Whether what nothing marks is a class."""
        return self.background != UNLABELLED


@dataclass(frozen=True)
class Recognised:
    """How label maps are read.

    Parameters
    ----------
    form : Form
    classes : Classes, optional
        None where nothing names them.
    ignore : int
        The id of pixels without a class, as ``form`` gives it.
    words : str
        What was understood, such as "RGB masks, colours as in labelmap.txt"; empty for plain ones.
    notes : tuple of str
        What a user should know besides.
    table : ClassTable, optional
        By which ids or colours were read.
    """

    form: Form
    classes: Classes | None
    ignore: int
    words: str = ""
    notes: tuple[str, ...] = ()
    table: ClassTable | None = None


@dataclass(frozen=True)
class LabelSet:
    """Label maps, their classes, and what was understood of them.

    Parameters
    ----------
    source : path
        The folder or file that was given.
    entries : mapping
        By stem.
    classes : Classes, optional
        None where nothing names them.
    ignore : int
        The id of pixels without a class.
    described : str
        In one line what was understood; empty for plain label maps.
    skipped : str
        In words, which files may be label maps too but are not read.
    notes : tuple of str
        What a user should know besides.
    unmatched : tuple of str
        Images that an annotation file is about, and that are not among the known ones.
    table : ClassTable, optional
        By which ids or colours are read.
    """

    source: Location
    entries: Mapping[str, LabelEntry] = field(default_factory=dict)
    classes: Classes | None = None
    ignore: int = 255
    described: str = ""
    skipped: str = ""
    notes: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    table: ClassTable | None = None

    @property
    def where(self) -> str:
        """What messages call the label maps."""
        return f"the label maps in '{self.source}'"

    @property
    def is_plain(self) -> bool:
        """Whether the files are used as they are: the ids in them are the classes."""
        return all(entry.form == PLAIN for entry in self.entries.values())


def ignore_beside(n_classes: int, ignore: int) -> int:
    """Return the id of pixels without a class where ids are given anew: the usual one, if free."""
    return IGNORED if 0 <= ignore < n_classes else ignore


def dtype_of(n_classes: int, ignore: int) -> np.dtype[np.integer]:
    """Return the smallest usual type for so many class ids and the ignore label."""
    if not 0 <= ignore <= IGNORED:
        return np.dtype(np.int64)
    return np.dtype(np.uint8 if max(n_classes - 1, ignore) < 256 else np.uint16)
