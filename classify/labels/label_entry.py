"""One label map as a command sees it: where it is, in which form, and how to read it."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ...store.urls.location import Location
from .label_maps import read_label_file

__all__ = ["PLAIN", "Form", "LabelEntry", "Plain", "turned"]

IdsAndPalette = tuple[NDArray[np.integer[Any]], bytes | None]


class Form(Protocol):
    """How the content of a file becomes class ids."""

    def read(self, file: Location, what: str, size: tuple[int, int] | None) -> IdsAndPalette:
        """Read a label map.

        Parameters
        ----------
        file : path
        what : str
            What errors call it, such as "label map".
        size : (height, width), optional
            Of its image, for forms whose files do not say it.

        Returns
        -------
        ids : array of shape (H, W), of an integer dtype
        palette : bytes or None
            Red, green and blue of each id, where the file has them.

        Raises
        ------
        InputError
            If the file is not of this form, or damaged.
        """
        ...


@dataclass(frozen=True)
class Plain:
    """A file of class ids, as it is."""

    def read(self, file: Location, what: str, size: tuple[int, int] | None) -> IdsAndPalette:
        """Read a label map, see `read_label_file`."""
        return read_label_file(file, what)


PLAIN = Plain()


@dataclass(frozen=True)
class LabelEntry:
    """The label map of an image. Nothing of it is held; each call reads it.

    Parameters
    ----------
    stem : str
        Of its image.
    file : path
    form : Form
    what : str
        What errors call it.
    image : str, optional
        Which image it is of, where a file is about several.
    size : (height, width), optional
        Of the image as it is shown.
    orientation : int
        Of the image's EXIF data: a label map that has the size of the stored pixels is turned so.
    """

    stem: str
    file: Location
    form: Form = PLAIN
    what: str = "label map"
    image: str | None = None
    size: tuple[int, int] | None = None
    orientation: int = 1

    @property
    def name(self) -> str:
        """What messages call it, in quotes of their own."""
        return self.file.name if self.image is None else f"{self.file.name}: {self.image}"

    def shown_as(self, size: tuple[int, int], orientation: int = 1) -> Self:
        """Return the label map of an image of this size and EXIF orientation."""
        return replace(self, size=size, orientation=orientation)

    def read(self) -> NDArray[np.integer[Any]]:
        """Return its ids, (H, W); see `Form.read`."""
        return self.read_with_palette()[0]

    def read_with_palette(self) -> IdsAndPalette:
        """Return its ids, (H, W), and its palette; see `Form.read`."""
        ids, palette = self.form.read(self.file, self.what, self.size)
        if self.size is not None and ids.shape != self.size:
            upright = turned(ids, self.orientation)
            ids = upright if upright.shape == self.size else ids
        return ids, palette

    def digest(self) -> bytes:
        """Return a sha256 that changes with what is read: of a plain file's bytes, else of ids."""
        if self.form == PLAIN:
            with self.file.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        ids = self.read()
        text = f"{ids.shape} {ids.dtype.str} ".encode()
        return hashlib.sha256(text + np.ascontiguousarray(ids).tobytes()).digest()


def turned(ids: NDArray[np.integer[Any]], orientation: int) -> NDArray[np.integer[Any]]:
    """Return a label map of stored pixels as an image of this EXIF orientation is shown.

    Only orientations that swap the sides are applied: without that, one cannot tell which a label
    map is of.

    Examples
    --------
    >>> turned(np.array([[1, 2, 3]]), 6).tolist(), turned(np.array([[1, 2, 3]]), 8).tolist()
    ([[1], [2], [3]], [[3], [2], [1]])
    """
    if orientation == 5:
        return ids.T
    if orientation == 6:
        return np.rot90(ids, -1)
    if orientation == 7:
        return ids[::-1, ::-1].T
    return np.rot90(ids) if orientation == 8 else ids
