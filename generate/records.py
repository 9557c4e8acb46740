"""The lines of ``samples.jsonl``: which image has which seed, and the sha256 of its file."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..extract.images.sample_records import sample_records
from ..store.json_lines import append_record, rewrite_records
from ..store.seals import sealed

__all__ = ["Records"]


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
        self.refresh()

    def refresh(self) -> None:
        """Read the file, with what other runs have added."""
        self.by_name = {}
        with suppress(FileNotFoundError, NotADirectoryError):
            self.by_name = {one["name"]: one for one in sample_records(self.path.read_bytes())}

    @property
    def names(self) -> list[str]:
        """Of the images, by number."""
        return sorted(self.by_name, key=lambda name: (len(name), name))

    @property
    def seeds(self) -> dict[str, int]:
        """The seed of each image, by the sha256 of its file."""
        return {record["sha256"]: record["seed"] for record in self.by_name.values()}

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; call it while no other run writes."""
        whole = sealed(record)
        append_record(self.path, whole)
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
