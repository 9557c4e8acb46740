"""The images of a run: which can be read, and the hash by which they are known."""

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...extract.images.reading import (
    PLAIN,
    UnreadableImage,
    image_size,
    open_pixels,
    sha256_of,
)
from ...extract.images.reading_spec import ReadingSpec
from ..train.processes import Processes

__all__ = ["Dataset", "read_dataset", "read_listing"]

_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Dataset:
    """Images that are to be trained on.

    Parameters
    ----------
    files : mapping of str to Path
        By name within the folder.
    hashes : mapping of str to str
        The sha256 of each file, hexadecimal.
    refused : mapping of str to str
        Why images were left out, by name.
    """

    files: Mapping[str, Path]
    hashes: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """The hash of all of them together, whatever their names and order."""
        return hashlib.sha256("".join(sorted(self.hashes.values())).encode()).hexdigest()

    def listing(self) -> str:
        """Return the hashes as ``sha256sum`` writes them."""
        return "".join(f"{self.hashes[name]}  {name}\n" for name in sorted(self.hashes))


def read_listing(path: Path) -> frozenset[str]:
    """Return the hashes that a `Dataset.listing` names; of a file that is not there, none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(line[:64] for line in lines)


def read_dataset(
    folder: Path,
    paths: Sequence[Path],
    here: Processes,
    *,
    known: Collection[str] = (),
    reading: ReadingSpec = PLAIN,
    advance: Callable[[int], None] = lambda n: None,
) -> Dataset:
    """Hash each image and decode it once; leave out those that cannot be decoded.

    Otherwise a run would fail at a truncated file in its middle. Several processes share the work.

    Parameters
    ----------
    folder : Path
    paths : sequence of Path
        Images in it.
    here : Processes
    known : collection of str
        Hashes of images that were decoded before, and need not be again.
    reading : ReadingSpec
        How they are read.
    advance : callable
        Takes the number of files read since the last call.
    """
    own, look = [], partial(_hash_or_reason, known, reading)
    with ThreadPoolExecutor(_THREADS) as pool:
        for outcome in pool.map(look, paths[here.rank :: here.world]):
            own.append(outcome)
            advance(1)
    parts = here.gathered(own)
    outcomes = [parts[number % here.world][number // here.world] for number in range(len(paths))]
    names = [path.relative_to(folder).as_posix() for path in paths]
    files, hashes, refused = {}, {}, {}
    for name, path, (digest, reason) in zip(names, paths, outcomes, strict=True):
        if reason:
            refused[name] = reason
        else:
            files[name], hashes[name] = path, digest
    return Dataset(files, hashes, refused)


def _hash_or_reason(known: Collection[str], reading: ReadingSpec, path: Path) -> tuple[str, str]:
    """Return the sha256 of an image, or why it cannot be used; the other is empty."""
    try:
        image_size(path, reading)  # refuses what can only be waited for, such as a pipe
        digest = sha256_of(path).hex()
        if digest not in known:
            pixels = open_pixels(path, reading)
            for part in pixels.parts():
                pixels.rows(*part)
        return digest, ""
    except UnreadableImage as error:
        return "", str(error)
