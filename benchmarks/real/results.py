"""Finished work on disk: one JSON file, rewritten whole after every record.

A record belongs to its key, (set, row, seed, settings): what has the key of a record is not
computed again. The settings hold everything that changes the figures: digests of images and labels,
the checkpoint's sha256, sizes, steps. Newer records stand after older ones.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dseg.store.errors import InputError

__all__ = ["FILE", "Key", "Record", "Results"]

FILE = "real_data.json"
FORMAT, VERSION = "dseg-real-data", 1


@dataclass(frozen=True)
class Key:
    """What a record is of.

    Parameters
    ----------
    set, row : str
        Names of the set of images and of the method.
    seed : int
    settings : mapping
        Plain JSON values.
    """

    set: str
    row: str
    seed: int
    settings: Mapping[str, Any]

    @property
    def words(self) -> str:
        """The key as one text, for comparison."""
        return json.dumps([self.set, self.row, self.seed, self.settings], sort_keys=True)

    @property
    def group(self) -> str:
        """The key without the seed."""
        return json.dumps([self.set, self.row, self.settings], sort_keys=True)


@dataclass(frozen=True)
class Record:
    """A key and what came out.

    Parameters
    ----------
    key : Key
    scores : mapping
        See `scoring.score`; of a pretraining, what the checkpoint is.
    seconds, peak_mb, gpu_peak_mb : mapping
        By stage, see `measure.Meter`.
    notes : mapping
        What else is worth knowing: machine, versions.
    """

    key: Key
    scores: Mapping[str, Any]
    seconds: Mapping[str, float]
    peak_mb: Mapping[str, float]
    gpu_peak_mb: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


class Results:
    """The records of a file.

    Parameters
    ----------
    path : path
        It need not be there yet.

    Raises
    ------
    InputError
        If the file is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = _read(path) if path.is_file() else []

    def find(self, key: Key) -> Record | None:
        """Return the record of a key, if it is finished."""
        words = key.words
        return next((r for r in self.records if r.key.words == words), None)

    def add(self, record: Record) -> None:
        """Take a record, in place of one of the same key, and write the file."""
        words = record.key.words
        self.records = [r for r in self.records if r.key.words != words] + [record]
        plain = {"format": FORMAT, "version": VERSION, "records": [asdict(r) for r in self.records]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        part.replace(self.path)

    def shown(self) -> dict[tuple[str, str], list[Record]]:
        """Return the records of each set and row, by seed, of those settings that came last."""
        newest = {(r.key.set, r.key.row): r.key.group for r in self.records}
        found: dict[tuple[str, str], list[Record]] = {place: [] for place in newest}
        for record in self.records:
            place = (record.key.set, record.key.row)
            if record.key.group == newest[place]:
                found[place].append(record)
        return {place: sorted(rs, key=lambda r: r.key.seed) for place, rs in found.items()}


def _read(path: Path) -> list[Record]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if (plain["format"], plain["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {plain['format']} {plain['version']}")
        return [Record(**{**r, "key": Key(**r["key"])}) for r in plain["records"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is not what this benchmark writes ({error}): give another --out"
        ) from error
