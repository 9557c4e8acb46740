"""``dseg labels convert``: label maps of any form as plain ones, or as annotations."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...classify.annotations.files.format import ClassToWrite, MaskToWrite
from ...classify.annotations.registry import format_named, write_annotations
from ...classify.inference.mask_files import encode_mask
from ...classify.label_sets.class_table import BACKGROUNDS, VOID_BORDER
from ...classify.labels.label_maps import IGNORED
from ...store.atomic_folder import atomic_folder, is_free, recover_folder
from ...store.claims import claimed
from ...store.errors import InputError
from ...store.whole_file import write_whole
from ..console.progress import Progress
from .config import ConvertLabelsConfig, ConvertLabelsSummary
from .examine import Examined, examine

__all__ = ["convert"]

_OURS = frozenset({".png", ".json"})
"""Endings of what is written: a folder of other files is not replaced."""


def convert(config: ConvertLabelsConfig, progress: Progress | None = None) -> ConvertLabelsSummary:
    """Write label maps as index PNGs with ``classes.json``, or as annotations.

    Raises
    ------
    InputError
        If a label map cannot be used, or something stands at ``out``.
    DsegError
        If nothing can be written.
    """
    progress = progress or Progress()
    tidy = partial(recover_folder, config.out)
    with claimed(
        config.out, None, "dseg labels convert", in_parent=True, tidy=tidy, warn=progress.warn
    ):
        _refuse_to_replace(config)
        found = examine(config, progress)
        _refuse_problems(found)
        for note in found.notes:
            progress.warn(note)
        if config.to is None:
            _write_plain(found, config.out, progress)
        else:
            _write_annotations(found, config.to, config.out, progress)
    return ConvertLabelsSummary(
        str(config.out),
        len(found.labels.entries),
        found.classes.names,
        found.labels.described or "plain label maps",
    )


def _refuse_problems(found: Examined) -> None:
    if not found.problems:
        return
    words, n = found.problems[0].words, len(found.problems)
    raise InputError(words if n == 1 else f"{words}. `dseg labels check` lists all {n}")


def _refuse_to_replace(config: ConvertLabelsConfig) -> None:
    """Refuse to write over what is there, but for what an earlier run may have written."""
    out = config.out
    for given, what in ((config.labels, "labels"), (config.images, "images")):
        if isinstance(given, Path) and _overlap(out, given):
            raise InputError(
                f"--out '{out}' and the {what} '{given}' must be separate: neither may contain the "
                "other"
            )
    if config.to is not None:
        _refuse_to_replace_annotations(config, config.to)
    elif not is_free(out):
        if not config.overwrite:
            raise InputError(
                f"'{out}' exists already: give another folder with --out, or replace it "
                "(--overwrite)"
            )
        _refuse_other_folder(out)


def _refuse_to_replace_annotations(config: ConvertLabelsConfig, to: str) -> None:
    """Refuse to replace a folder always, a file unless told to: as `dseg convert` does."""
    out = config.out
    if format_named(to).target == "folder":
        if not is_free(out):
            raise InputError(
                f"'{out}' exists already, and --to {to} writes a folder: give another --out, or "
                "remove it"
            )
    elif out.is_dir():
        raise InputError(
            f"'{out}' is a folder, but --to {to} writes a file: give the name of a file with --out"
        )
    elif out.exists() and not config.overwrite:
        raise InputError(
            f"'{out}' exists already: give another file with --out, or replace it (--overwrite)"
        )


def _refuse_other_folder(out: Path) -> None:
    """Refuse what is no folder of label maps: it has none of their classes, or other files."""
    strange = [
        path
        for path in (out.rglob("*") if out.is_dir() else [out])
        if path.is_file() and path.suffix.lower() not in _OURS and not path.name.startswith(".")
    ]
    if strange or not (out / "classes.json").is_file():
        raise InputError(
            f"'{out}' exists already, and is no folder that `dseg labels convert` wrote: give "
            "another folder with --out"
        )


def _overlap(out: Path, given: Path) -> bool:
    one, other = out.resolve(), given.resolve()
    return one.is_relative_to(other) or other.is_relative_to(one)


def _write_plain(found: Examined, out: Path, progress: Progress) -> None:
    classes = found.classes
    colours = [*classes.colours, *[VOID_BORDER] * (1 + IGNORED - len(classes))]
    with (
        atomic_folder(out) as made,
        progress.bar("convert", len(found.labels.entries), "images") as advance,
    ):
        for stem, ids in _ids(found):
            file = made / f"{stem}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, encode_mask(ids, colours))
            advance(1)
        text = json.dumps(classes.to_list(), ensure_ascii=False, indent=1)
        (made / "classes.json").write_text(text + "\n", encoding="utf-8")


def _ids(found: Examined) -> Iterator[tuple[str, NDArray[np.unsignedinteger]]]:
    """Yield each label map with 255 where pixels have no class; with 65535 if there are many."""
    few = len(found.classes) <= 255
    dtype, unlabelled = (np.uint8, 255) if few else (np.uint16, IGNORED)
    for stem, entry in found.labels.entries.items():
        ids = entry.read()
        yield stem, np.where(ids == found.labels.ignore, unlabelled, ids).astype(dtype)


def _write_annotations(found: Examined, to: str, out: Path, progress: Progress) -> None:
    """Write all classes but the background, as ``dseg convert`` does of masks."""
    pairs = zip(found.classes.names, found.classes.colours, strict=True)
    classes = [
        ClassToWrite(k, name, colour)
        for k, (name, colour) in enumerate(pairs)
        if name.lower() not in BACKGROUNDS
    ]
    with progress.bar("convert", len(found.labels.entries), "images") as advance:

        def masks() -> Iterator[MaskToWrite]:
            for stem, ids in _ids(found):
                yield MaskToWrite(found.images.names[stem], ids)
                advance(1)

        write_annotations(to, masks(), classes, out)
