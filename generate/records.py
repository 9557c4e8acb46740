"""The lines of ``samples.jsonl``: which image has which seed, and the sha256 of its file."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..extract.images.sample_records import sample_records
from ..store.json_lines import append_record, rewrite_records
from ..store.seals import sealed
from ..store.urls.location import Location

__all__ = ["Records", "read_seeds"]


class Records:
    """The records of a folder's images.

    Parameters
    ----------
    path : path
        Of the file; it need not exist yet.

    Attributes
    ----------
    by_name : dict
        The record of each image: ``name``, ``seed``, ``sha256`` in hexadecimal. A line that is
        torn, or no such record, is skipped; of several of one image the last counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_name: dict[str, dict[str, Any]] = {}
        self._seen: tuple[int, int] | None = None  # inode and size of the file as it was read
        self.refresh()

    def refresh(self) -> None:
        """Read the file again, if other runs have added to it."""
        status = self._status()
        if status is None:
            self.by_name = {}
        elif status != self._seen:
            self.by_name = _read(self.path)
        self._seen = status

    def _status(self) -> tuple[int, int] | None:
        """Return inode and size of the file; None if there is none."""
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_ino, status.st_size

    @property
    def names(self) -> list[str]:
        """Of the images, by number."""
        return sorted(self.by_name, key=lambda name: (len(name), name))

    @property
    def seeds(self) -> dict[str, int]:
        """The seed of each image, by the sha256 of its file."""
        return _seeds(self.by_name)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; call it while no other run writes."""
        whole = sealed(record)
        is_known = self._seen == self._status()
        append_record(self.path, whole)
        self._seen = self._status() if is_known else None  # else others have added, too
        self.by_name[str(record["name"])] = whole

    def compact(self) -> None:
        """Write one line an image, by number; call it while no other run writes."""
        self.refresh()
        if self.by_name or self.path.is_file():
            rewrite_records(self.path, (self.by_name[name] for name in self.names))

    def forget(self, names: Collection[str]) -> None:
        """Drop the records of images; call it while no other run writes."""
        self.refresh()
        kept = (record for name, record in self.by_name.items() if name not in names)
        rewrite_records(self.path, kept)
        self.refresh()


def read_seeds(path: Location) -> dict[str, int]:
    """Return the seed of each image of such a file, by the sha256 of the image's."""
    return _seeds(_read(path))


def _seeds(by_name: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {record["sha256"]: record["seed"] for record in by_name.values()}


def _read(path: Location) -> dict[str, dict[str, Any]]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return {one["name"]: one for one in sample_records(path.read_bytes())}
    return {}
