"""What an annotation format is to the registry, and what is handed to it: a file, or masks."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from ....store.errors import InputError
from ....store.texts import parse_json, read_text
from ....store.urls.location import Location
from ..shapes.limits import MOST_BYTES, MOST_CONTAINERS
from ..shapes.model import Annotations, Colour
from .xml_text import parse_xml

__all__ = ["Candidate", "ClassToWrite", "Format", "MaskToWrite", "Writer"]

_HEAD = 4096

# How annotation files begin. Others that begin nearly so, such as TOML, lines of JSON and HTML, lie
# among images, too: of those nothing is said if they are no JSON or XML.
_JSON = re.compile(r"\{\s*\"|\[\s*[\[{]")
_XML = "<annotation"


class Candidate:
    """A file or folder that may be an annotation file; its content is read when asked for.

    Parameters
    ----------
    path : path
    within : str
        Its path within the folder that is read, with "/"; its own name where it is read alone.
    """

    def __init__(self, path: Path, within: str | None = None) -> None:
        self.path, self.within = path, path.name if within is None else within

    @cached_property
    def head(self) -> bytes:
        """The first 4096 bytes; none of a folder.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        if self.path.is_dir():
            return b""
        try:
            with self.path.open("rb") as file:
                return file.read(_HEAD)
        except OSError as error:
            raise InputError(f"'{self.path}' cannot be read: {error.strerror}") from error

    @cached_property
    def json(self) -> Any:
        """The value of a JSON file; None if it is none.

        Raises
        ------
        InputError
            If it begins as an annotation file does but is damaged, or too large.
        """
        if not _JSON.match(self._first_signs):
            return None
        try:
            text = read_text(self.path, MOST_BYTES)
            if text.count("[") + text.count("{") > MOST_CONTAINERS:
                raise ValueError(f"it has more than {MOST_CONTAINERS} lists and objects")
            return parse_json(text)
        except json.JSONDecodeError as error:
            if error.msg == "Extra data":  # lines of JSON, such as dseg's records
                return None
            raise InputError(f"'{self.path}' is not valid JSON: {error}") from error
        except ValueError as error:
            raise InputError(f"'{self.path}' cannot be read: {error}") from error

    @cached_property
    def xml(self) -> Element | None:
        """The root of an XML file; None if it is none.

        Raises
        ------
        InputError
            If it begins as an annotation file does but is damaged, too large, or has a DOCTYPE.
        """
        if not (self._first_signs.startswith("<") and _XML in self._first_signs):
            return None
        try:
            return parse_xml(self.path)
        except ValueError as error:
            raise InputError(f"'{self.path}' cannot be read as XML: {error}") from error

    @property
    def _first_signs(self) -> str:
        """Return the beginning of a text, in whichever encoding."""
        text = self.head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe")
        return text.decode("latin-1").lstrip()


@dataclass(frozen=True)
class ClassToWrite:
    """A class that is written; pixels of other ids are left out.

    Parameters
    ----------
    id : int
        In the masks.
    name : str
    colour : (red, green, blue)
    """

    id: int
    name: str
    colour: Colour


@dataclass(frozen=True)
class MaskToWrite:
    """The mask of an image, to be written as annotations.

    Parameters
    ----------
    name : str
        The image's file, with "/" between folders: a safe path (`store.names.why_unsafe`).
    mask : array of shape (H, W), unsigned integer
        Class ids.
    image : path, optional
        The image, where it is at hand: where it lies on a map is read from it.
    """

    name: str
    mask: NDArray[np.unsignedinteger]
    image: Location | None = None


Writer = Callable[[Iterable[MaskToWrite], Sequence[ClassToWrite], Path, str], None]


@dataclass(frozen=True)
class Format:
    """How a format is recognised, read and written.

    Parameters
    ----------
    name : str
        On the command line, such as "coco".
    title : str
        In messages, such as "COCO".
    recognise : callable, optional
        Says of a `Candidate` whether it is of the format, by its content. It may raise
        `InputError` for one that is, but cannot be used. None of a format that is only written.
    read : callable, optional
        Returns the `Annotations` of a `Candidate` that was recognised; the words of its
        `InputError` follow the file's name and a colon. Given together with ``recognise``.
    write : callable, optional
        Is given masks, one after the other, the classes, where to write, and what is put before
        the name of each image. Where to write is a file that is to be made, or an empty folder,
        under a temporary name.
    target : {"file", "folder"}
        What `write` makes.
    suffix : str
        Of the name of what is written, such as ".json"; empty for a folder.
    orders_classes : bool
        Whether files give classes an order; else those of a folder are sorted by name.
    several_per_image : bool
        Whether several files may annotate one image, such as one for each class; else that is
        refused.
    in_zip : bool
        Whether its files, ``.json`` or ``.xml``, are found in a zip file, too.
    """

    name: str
    title: str
    recognise: Callable[[Candidate], bool] | None = None
    read: Callable[[Candidate], Annotations] | None = None
    write: Writer | None = None
    target: Literal["file", "folder"] = "file"
    suffix: str = ""
    orders_classes: bool = True
    several_per_image: bool = False
    in_zip: bool = False
