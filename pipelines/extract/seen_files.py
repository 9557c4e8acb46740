"""Which images' files are as they were when a store took them, by size and times.

To open 100,000 files, and to hash them, takes minutes; to look at their size and times, a second.
So a run remembers how the files looked whose images are complete, in the user's cache folder: for
each image of a store the size, both times and number (inode) of its file, and the time and number
of the store's flag, which is another file if any run has extracted the image again.

What is not exactly as remembered is read and hashed. So is a file that was changed within the two
seconds before a run looked at it: a further change might leave no trace in its times.
"""

import os
import time
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ...extract.images.reading import ImageFacts
from ...store.errors import DsegError
from ...store.names import composed
from ...store.read.reader import FeatureStore
from ...store.urls.location import Location
from ...store.whole_file import write_whole

__all__ = ["SeenFiles"]

_SETTLED = 2 * 10**9  # nanoseconds; FAT counts two seconds at a time
_KEPT = 180 * 86400  # seconds for which what no run uses is kept
_FILE = [("bytes", "<i8"), ("modified", "<i8"), ("changed", "<i8"), ("number", "<u8")]
_FLAG = [("flag_changed", "<i8"), ("flag_number", "<u8")]
_FACTS = ("deep", "paged", "unscaled")
"""Of `ImageFacts`."""
_ENTRY = np.dtype([*_FILE, *_FLAG, *((name, "?") for name in _FACTS)])
_CHECKSUM = 4  # bytes

Look = tuple[int, int, int, int]


@dataclass(frozen=True)
class SeenFiles:
    """How the files of some images look now.

    Parameters
    ----------
    place : Path or None
        Where it is remembered; None where there is no place for it.
    looks : dict
        Of each file that has not just been changed, by the image's name.
    """

    place: Path | None
    looks: Mapping[str, Look]

    @classmethod
    def look(cls, store: Path, images: Path, found: Mapping[str, Location]) -> Self:
        """Look at images, before any of them is read.

        Parameters
        ----------
        store : Path
            That they go into, or will.
        images : Path
            Their folder.
        found : mapping of str to path
            The images, by name.
        """
        settled, looks = time.time_ns() - _SETTLED, dict[str, Look]()
        for name, path in found.items():
            with suppress(OSError):
                look = _look(os.stat(str(path)))  # noqa: PTH116  (half the time of Path.stat)
                if max(look[1:3]) < settled:
                    looks[name] = look
        return cls(_place(store, images), looks)

    def unchanged(self, store: FeatureStore) -> dict[str, ImageFacts]:
        """Return the facts of images that the store has of exactly these files, by name."""
        entries, names = _read(self.place), self._complete(store)
        now = self._entries(store, names)[: len(entries)]
        entries = entries[: len(now)]
        same = now["flag_number"] > 0
        for field, _ in (*_FILE, *_FLAG):
            same &= now[field] == entries[field]
        return {
            names[k]: ImageFacts(
                store.images[k].geometry.size,
                **{fact: bool(entries[fact][k]) for fact in _FACTS},
            )
            for k in np.flatnonzero(same).tolist()
        }

    def remember(self, store: FeatureStore, facts: Mapping[str, Container[str]]) -> None:
        """Remember how the files of complete images look.

        Parameters
        ----------
        store : FeatureStore
            Opened after the run.
        facts : mapping of str to container of str
            Names of the images of which a fact is true, by fact: "deep", "paged", "unscaled".
        """
        if self.place is None:
            return
        entries = self._entries(store, self._complete(store), facts)
        others, old = entries["flag_number"] == 0, _read(self.place)[: len(entries)]
        entries[: len(old)][others[: len(old)]] = old[others[: len(old)]]  # of another --list, say
        content = entries.tobytes()
        with suppress(DsegError, OSError):  # the next run takes longer, that is all
            checksum = google_crc32c.value(content).to_bytes(_CHECKSUM, "little")
            write_whole(self.place, checksum + content)
            _remove_old(self.place.parent)

    def _complete(self, store: FeatureStore) -> dict[int, str]:
        """Return the names of those that a store has, by number."""
        names = {composed(name): name for name in self.looks}
        return {
            image.index: name
            for image in store.images
            if image.complete and (name := names.get(composed(image.name))) is not None
        }

    def _entries(
        self,
        store: FeatureStore,
        names: Mapping[int, str],
        facts: Mapping[str, Container[str]] = MappingProxyType({}),
    ) -> NDArray[Any]:
        """Return an entry for each image of a store, zeros for those without a name."""
        entries = np.zeros(len(store.images), _ENTRY)
        for k, name in names.items():
            told = (name in facts.get(fact, ()) for fact in _FACTS)
            entries[k] = (*self.looks[name], *_flag(store, k), *told)
        return entries


def _look(stat: os.stat_result) -> Look:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _flag(store: FeatureStore, image: int) -> tuple[int, int]:
    """Return time and number of the file that says that an image is complete."""
    try:
        stat = os.stat(f"{store.path}/complete/c/{image}")  # noqa: PTH116
    except OSError:
        return 0, 0  # as no file has
    return stat.st_ctime_ns, stat.st_ino


def _place(store: Path, images: Path) -> Path | None:
    both = "\0".join((str(store.resolve()), str(images.resolve())))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "dseg")
    cache = Path(os.environ.get("DSEG_CACHE") or cache)
    try:
        return cache.expanduser() / "files" / sha256(os.fsencode(both)).hexdigest()[:32]
    except RuntimeError:  # a user without a home
        return None


def _read(place: Path | None) -> NDArray[Any]:
    """Return what is remembered, an entry an image; none if there is nothing that is whole."""
    try:
        content = b"" if place is None else place.read_bytes()
    except OSError:
        content = b""
    checksum, rest = content[:_CHECKSUM], content[_CHECKSUM:]
    if google_crc32c.value(rest).to_bytes(_CHECKSUM, "little") != checksum:
        return np.zeros(0, _ENTRY)
    return np.frombuffer(rest[: len(rest) // _ENTRY.itemsize * _ENTRY.itemsize], _ENTRY)


def _remove_old(folder: Path) -> None:
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > _KEPT:
            file.unlink(missing_ok=True)
