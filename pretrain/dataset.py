"""The images of a run: which can be read, and the hash by which they are known."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..extract.images import UnreadableImage, image_size, sha256_of

__all__ = ["Dataset", "read_dataset"]

_THREADS = 8


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


def read_dataset(folder: Path, paths: Sequence[Path]) -> Dataset:
    """Read each image's header and hash its file; leave out what is no image."""
    with ThreadPoolExecutor(_THREADS) as pool:
        read = list(pool.map(_hash_or_reason, paths))
    names = [path.relative_to(folder).as_posix() for path in paths]
    files, hashes, refused = {}, {}, {}
    for name, path, (digest, reason) in zip(names, paths, read, strict=True):
        if reason:
            refused[name] = reason
        else:
            files[name], hashes[name] = path, digest
    return Dataset(files, hashes, refused)


def _hash_or_reason(path: Path) -> tuple[str, str]:
    """Return the sha256 of an image, or why it cannot be used; the other is empty."""
    try:
        image_size(path)
        return sha256_of(path).hex(), ""
    except UnreadableImage as error:
        return "", str(error)
