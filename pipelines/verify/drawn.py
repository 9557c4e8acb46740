"""Drawn images, of ``dseg sample`` and ``dseg synthesize``: each is what its line says."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...extract.images.sample_records import FACTS as SAMPLE_FACTS
from ...extract.images.sample_records import RECORDS as SAMPLE_RECORDS
from ...generate.folder import read_facts
from ...generate.records import Records
from ...store.errors import InputError
from ...store.json_lines import damaged_lines, rewrite_records
from ...store.seals import is_broken
from ...store.texts import object_in
from ...store.urls.walking import every_file
from ..console.progress import Progress
from ..synthesize.folder import (
    CLASSES,
    FACTS,
    IMAGES,
    KEPT,
    RECORDS,
    SHA256,
    files_of,
    read_records,
)
from .faults import Aside, Fault, Subject, leftovers_in
from .masks import hash_fault

__all__ = ["SamplesSubject", "SyntheticSubject"]

_DRAWN = re.compile(r"[0-9]{6,}\.png")
_NO_COPY = "Restore it from a copy, or make the images again in another folder"


class SamplesSubject(Subject):
    """A folder of ``dseg sample``."""

    kind = "drawn images"
    again = "repeat the same sample command"

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong with the images and their records."""
        found = list(_facts_faults(self._path / SAMPLE_FACTS))
        if not found:
            try:
                read_facts(self._path)
            except InputError as error:
                found.append(Fault(SAMPLE_FACTS, str(error)))
        found += [
            Fault(SAMPLE_RECORDS, f"line {line} is damaged", mend=self._records().compact)
            for line in damaged_lines(self._path / SAMPLE_RECORDS)
        ]
        records = self._records().by_name
        self.images = len(records)
        with progress.bar("verify", self.images, "images") as advance:
            for name, record in records.items():
                fault = hash_fault(self._path / name, record["sha256"], SAMPLE_RECORDS)
                if fault is not None:
                    mend = self._dropping(name)
                    found.append(Fault(name, fault, Path(name).stem, mend, remade=True))
                advance(1)
        if alone:
            found += leftovers_in(self._path)
            for file in sorted(self._path.glob("*.png")):
                if _DRAWN.fullmatch(file.name) and file.name not in records:
                    words = f"has no line in '{SAMPLE_RECORDS}'"
                    found.append(Fault(file.name, words, mend=partial(self._aside.move, file)))
        return found

    def _records(self) -> Records:
        return Records(self._path / SAMPLE_RECORDS)

    def _dropping(self, name: str) -> Any:
        def drop() -> None:
            self._aside.move(self._path / name)
            self._records().forget([name])

        return drop


class SyntheticSubject(Subject):
    """A folder of ``dseg synthesize``."""

    kind = "synthetic images"
    again = "repeat the same synthesize command"

    def __init__(self, path: Path, aside: Aside) -> None:
        super().__init__(path, aside)
        self._samples = SamplesSubject(path / IMAGES, aside)

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong with images, masks, uncertainty, and the files of text."""
        found = list(_facts_faults(self._path / FACTS)) + self._of_texts()
        records = read_records(self._path / RECORDS)
        self.images = len(records)
        found += [
            Fault(RECORDS, f"line {line} is damaged", mend=lambda: self._rewrite(()))
            for line in damaged_lines(self._path / RECORDS)
        ]
        wrong = dict[int, list[tuple[str, str]]]()
        of_images = self._samples.faults(progress, alone=False)
        for fault in of_images:
            if fault.image is None:
                name, mend = f"{IMAGES}/{fault.file}", fault.mend
                if fault.file == SAMPLE_FACTS:  # which follows from the facts of all
                    mend = partial(self._aside.move, self._path / name)
                found.append(Fault(name, fault.words, mend=mend, remade=mend is not fault.mend))
            else:
                wrong.setdefault(int(fault.image), []).append(
                    (f"{IMAGES}/{fault.file}", fault.words)
                )
        drops = {int(fault.image): fault.mend for fault in of_images if fault.image is not None}
        drawn = Records(self._path / IMAGES / SAMPLE_RECORDS).by_name
        for number, record in records.items():
            wrong.setdefault(number, []).extend(self._of_image(number, record, drawn))
        for number, faults in wrong.items():
            mend = self._dropping(number, [name for name, _ in faults], drops.get(number))
            stem = files_of(self._path, number)["labels"].stem
            found += [Fault(name, words, stem, mend, remade=True) for name, words in faults]
        return found + (self._strays(records) if alone else [])

    def _of_texts(self) -> list[Fault]:
        facts = object_in(self._path / FACTS)
        known = facts.get(SHA256, {}) if facts else {}
        found = []
        for name in (CLASSES, KEPT):
            fault = hash_fault(self._path / name, known[name], FACTS) if name in known else None
            if fault is not None:
                mend = partial(self._aside.move, self._path / name)
                found.append(Fault(name, fault, mend=mend, remade=True))
        return found

    def _of_image(
        self, number: int, record: Mapping[str, Any], drawn: Mapping[str, Any]
    ) -> Iterator[tuple[str, str]]:
        files = files_of(self._path, number)
        if files[IMAGES].name not in drawn:
            words = f"has no line in '{IMAGES}/{SAMPLE_RECORDS}'"
            yield f"{IMAGES}/{files[IMAGES].name}", words
        for part, sha256 in record.get(SHA256, {}).items():
            fault = hash_fault(files[part], sha256, RECORDS)
            if fault is not None:
                yield f"{part}/{files[part].name}", fault

    def _dropping(self, number: int, wrong: list[str], drop: Any) -> Any:
        def mend() -> None:
            if drop is not None:
                drop()
            for part, file in files_of(self._path, number).items():
                if part != IMAGES and file.exists():
                    if f"{part}/{file.name}" in wrong:
                        self._aside.move(file)
                    else:
                        file.unlink()
            self._rewrite((number,))

        return mend

    def _rewrite(self, without: tuple[int, ...]) -> None:
        records = read_records(self._path / RECORDS)
        kept = (record for number, record in sorted(records.items()) if number not in without)
        rewrite_records(self._path / RECORDS, kept)

    def _strays(self, records: Mapping[int, Any]) -> list[Fault]:
        """Return what is of no image: of one that was not finished, or of somebody else."""
        found = leftovers_in(self._path)
        known = {file for number in records for file in files_of(self._path, number).values()}
        for part in ("labels", "uncertainty", IMAGES):
            for file in every_file(self._path / part):
                if file not in known and re.fullmatch(r"[0-9]{6,}\.(png|npy)", file.name):
                    name = file.relative_to(self._path).as_posix()
                    words = f"is of an image that has no line in '{RECORDS}'"
                    found.append(Fault(name, words, mend=self._taking(file)))
        return found

    def _taking(self, file: Path) -> Any:
        def take() -> None:
            self._aside.move(file)
            if file.parent.name == IMAGES:
                Records(file.parent / SAMPLE_RECORDS).forget([file.name])

        return take


def _facts_faults(file: Path) -> Iterator[Fault]:
    facts = object_in(file)
    if facts is None:
        yield Fault(file.name, f"is damaged. {_NO_COPY}")
    elif is_broken(facts):
        yield Fault(file.name, f"does not match its checksum. Was it edited? {_NO_COPY}")
