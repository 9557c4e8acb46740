"""Files in a store that belong to nothing: what killed runs left, and what others put there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..format.keys import LOCK, PARTIAL
from ..format.layout import GROUPS, array_layouts, open_group, read_header
from ..locks import is_abandoned
from ..seals import SEAL
from ..urls.walking import every_file, within
from .documents import DOCUMENT
from .reader import FeatureStore

__all__ = ["LEFT", "Stray", "find_strays"]

LEFT = "was left by a killed run"

_FLAGS = ("complete", "failed")


@dataclass(frozen=True)
class Stray:
    """A file that is not a part of any complete or failed image, nor of a table.

    Parameters
    ----------
    key : str
        Its path within the store.
    words : str
        What it is.
    ours : bool
        Whether dseg wrote it, and so may remove it.
    image : int, optional
        The image without a flag that it is of.
    """

    key: str
    words: str
    ours: bool
    image: int | None = None


def find_strays(store: FeatureStore) -> list[Stray]:
    """Return what a store holds besides its tables and its images.

    Call it while no run writes there: what a run writes is no part of an image yet.

    Parameters
    ----------
    store : FeatureStore
        Opened just now.
    """
    return list(_Known(store).strays())


class _Known:
    """Which keys a store may have."""

    def __init__(self, store: FeatureStore) -> None:
        group = open_group(store.path)
        header = read_header(group, store.where)
        assert isinstance(store.path, Path)  # `verify` takes no URL
        self._root, self._layouts = store.path, array_layouts(header)
        named = {*GROUPS, *self._layouts}
        self._documents = {DOCUMENT, *(f"{name}/{DOCUMENT}" for name in named)}
        # Unless it has a checksum, a header may be damaged that counts fewer images than there are.
        self._surely_ours = SEAL in group.attrs
        self._images, self._n_rows = store.images, header.rows
        self._owners = {row: image for image in store.images for row in store.rows(image.index)}
        self._done = {
            image.index for image in store.images if image.complete or image.failed is not None
        }

    def strays(self) -> Iterator[Stray]:
        for file in every_file(self._root):
            stray = self._stray(within(file, self._root))
            if stray is not None:
                yield stray

    def _stray(self, key: str) -> Stray | None:
        """Return what is wrong with a key; None if nothing is."""
        if key.endswith(PARTIAL) or key.startswith(f"{LOCK}."):
            return Stray(key, LEFT, ours=True)
        if key == LOCK:
            left = is_abandoned(self._root / key)
            return Stray(key, LEFT, ours=True) if left else None
        if key in self._documents:
            return None
        array, _, rest = key.partition("/c/")
        index = [int(part) for part in rest.split("/") if part.isdecimal()]
        layout = self._layouts.get(array)
        if layout is None or rest != "/".join(map(str, index)):
            return Stray(key, "belongs to nothing", ours=False)
        inner = [-(-n // c) for n, c in zip(layout.shape[1:], layout.chunks[1:], strict=True)]
        fits = len(index) == len(layout.shape)
        if not fits or any(at >= n for at, n in zip(index[1:], inner, strict=True)):
            return Stray(key, "is no chunk of its array", ours=False)
        return self._chunk(key, array, index[0], layout.shape[0], layout.chunks[0])

    def _chunk(self, key: str, array: str, first: int, length: int, step: int) -> Stray | None:
        if array.startswith(("features/", "scales/")):
            image = self._owners.get(first)
            if image is None:
                words = f"is of row {first}, which belongs to no image (any more)"
                return Stray(key, words, ours=first < self._n_rows or self._surely_ours)
            number = image.index
        elif array in _FLAGS or array.startswith("facts/"):
            if first >= len(self._images):
                words = f"is of image number {first}, of which there are {len(self._images)}"
                return Stray(key, words, ours=self._surely_ours)
            number = first
        else:
            beyond = first * step >= length
            words = "is a chunk beyond the end of its table"
            return Stray(key, words, ours=self._surely_ours) if beyond else None
        if number in self._done or array in _FLAGS:
            return None
        return Stray(key, "is of an image that is not complete", ours=True, image=number)
