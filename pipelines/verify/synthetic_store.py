"""A Zarr store of ``dseg synthesize``: its arrays, the chunks of its images, and strays."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.errors
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from ...store.claims import is_lock
from ...store.format.keys import PARTIAL
from ...store.read.documents import DOCUMENT, damaged_documents
from ...store.read.strays import LEFT
from ...store.seals import SEAL, is_broken
from ...store.synthetic import ARRAYS, FORMAT
from ...store.texts import object_in
from ...store.urls.walking import every_file
from ...store.whole_file import write_whole
from ..console.progress import Progress
from ..synthesize.zarr_target import create_arrays
from .faults import Fault, Subject

__all__ = ["SyntheticStoreSubject", "seems_synthetic_store"]

_SEALED = ("format", "version", "classes", "facts")
_OF_IMAGE = tuple(name for name in ARRAYS if name != "kept")
_FLAG = "score"


def seems_synthetic_store(path: Path) -> bool:
    """Whether a folder is such a store, or was one before it was damaged."""
    return _attributes(path).get("format") == FORMAT or (path / _FLAG / DOCUMENT).is_file()


class SyntheticStoreSubject(Subject):
    """A Zarr store of synthetic images."""

    kind = "synthetic images"
    again = "repeat the same synthesize command"

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong: of the metadata, else of images and chunks."""
        attributes = _attributes(self._path)
        if not attributes.keys() >= set(_SEALED) or is_broken(attributes, _SEALED):
            words = "is damaged. Restore it from a copy, or make the images again elsewhere"
            return [Fault(DOCUMENT, words)]
        documents = self._documents(attributes)
        damaged = damaged_documents(self._path, documents) if SEAL in attributes else {}
        if damaged:
            return [
                Fault(key, words, mend=partial(write_whole, self._path / key, documents[key]))
                for key, words in damaged.items()
            ]
        group: Any = zarr.open_group(self._path, mode="r")
        return self._of_images(group, progress) + (self._strays(group) if alone else [])

    def _documents(self, attributes: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the metadata of the arrays as they should be, as long as the longest is."""
        facts, data = attributes["facts"], dict[str, Buffer]()
        group: Any = zarr.open_group(MemoryStore(data), mode="w", zarr_format=3)
        create_arrays(group, len(attributes["classes"]), (facts["height"], facts["width"]))
        length = 0
        for name in ARRAYS:
            try:
                document = object_in(self._path / name / DOCUMENT) or {}
                length = max(length, int(document["shape"][0]))
            except (LookupError, TypeError, ValueError):
                continue
        for name in ARRAYS:
            group[name].resize((length, *group[name].shape[1:]))
        return {key: value.to_bytes() for key, value in data.items() if key != DOCUMENT}

    def _key(self, group: Any, name: str, number: int) -> Path:
        rest = "/0" * (group[name].ndim - 1)
        return self._path / f"{name}/c/{number}{rest}"

    def _of_images(self, group: Any, progress: Progress) -> list[Fault]:
        flagged = self._numbers(_FLAG, group[_FLAG].shape[0])
        found, self.images = list[Fault](), len(flagged)
        with progress.bar("verify", len(flagged), "images") as advance:
            for number in flagged:
                words = self._fault(group, number)
                if words is not None:
                    mend = self._dropping(group, number)
                    found.append(
                        Fault(f"image {number}", words, f"{number:06d}", mend, remade=True)
                    )
                advance(1)
        chunks = range(-(-group["kept"].shape[0] // group["kept"].chunks[0]))
        finished = len(flagged) == group["kept"].shape[0] and _checked(group["kept"])
        for chunk in chunks:
            file = self._path / f"kept/c/{chunk}"
            try:
                _ = group["kept"].blocks[chunk]
                words = "is missing" if finished and not file.is_file() else None
            except (ValueError, RuntimeError):
                words = "does not match its checksum"
            if words is not None:
                mend = self._removing([file])
                found.append(Fault(f"kept/c/{chunk}", words, mend=mend, remade=True))
        return found

    def _numbers(self, name: str, length: int) -> list[int]:
        folder = self._path / name / "c"
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        return sorted(n for n in map(int, filter(str.isdecimal, names)) if n < length)

    def _fault(self, group: Any, number: int) -> str | None:
        for name in _OF_IMAGE:
            key = self._key(group, name, number).relative_to(self._path).as_posix()
            if _checked(group[name]) and not (self._path / key).is_file():
                return f"'{key}' is missing"
            try:
                value = np.asarray(group[name][number])
            except (ValueError, RuntimeError, OSError):
                return f"'{key}' does not match its checksum"
            if name == _FLAG and np.isnan(value):
                return "has no score"
        return None

    def _dropping(self, group: Any, number: int) -> Any:
        return self._removing([self._key(group, name, number) for name in _OF_IMAGE])

    def _removing(self, files: Iterable[Path]) -> Any:
        def remove() -> None:
            for file in files:
                file.unlink(missing_ok=True)

        return remove

    def _strays(self, group: Any) -> list[Fault]:
        """Return what is of no image: of one that was not finished, or of somebody else."""
        flagged, found = set(self._numbers(_FLAG, group[_FLAG].shape[0])), list[Fault]()
        documents = {DOCUMENT, *(f"{name}/{DOCUMENT}" for name in ARRAYS)}
        for file in every_file(self._path):
            key = file.relative_to(self._path).as_posix()
            array, _, rest = key.partition("/c/")
            is_chunk = array in ARRAYS and re.fullmatch(r"[0-9]+(/0)*", rest) is not None
            number = int(rest.split("/")[0]) if is_chunk else -1
            if key in documents or (array == "kept" and number == 0):
                continue
            if key.endswith(PARTIAL) or is_lock(file.name):
                found.append(Fault(key, LEFT, mend=self._removing([file])))
            elif not is_chunk or self._key(group, array, number) != file:
                mend = partial(self._aside.move, file)
                found.append(Fault(key, "belongs to nothing", mend=mend))
            elif number not in flagged and not (array == "kept" and number < self._kept(group)):
                words = f"is of image number {number}, which has no score"
                found.append(Fault(key, words, mend=self._removing([file])))
        return found

    @staticmethod
    def _kept(group: Any) -> int:
        return int(-(-group["kept"].shape[0] // group["kept"].chunks[0]))


def _checked(array: Any) -> bool:
    """Whether the chunks of an array have checksums; a dseg that knew of none left out zeros."""
    return any(isinstance(codec, zarr.codecs.Crc32cCodec) for codec in array.compressors)


def _attributes(path: Path) -> dict[str, Any]:
    found = (object_in(path / DOCUMENT) or {}).get("attributes")
    return found if isinstance(found, dict) else {}
