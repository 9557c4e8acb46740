"""Check that complete images of a store have all their chunks, and that these can be read.

`find_missing_chunks` looks at file sizes only; `find_damaged_images` reads and decompresses every
chunk. ``dseg extract`` writes again what either finds.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..errors import VERIFY, StoreError
from ..urls.location import UrlPath
from .image_tables import StoredImage
from .reader import FeatureStore

__all__ = ["find_damaged_images", "find_missing_chunks"]

MIN_CHUNK_BYTES = 5  # the checksum alone has 4
_PER_IMAGE_KEYS = (
    "complete/c/{}",
    "facts/sha256/c/{}/0",
    "facts/nonfinite/c/{}/0",
    "facts/clipped/c/{}/0",
)
_STAT_THREADS = 8  # over a network each `stat` waits for the server
_IMAGES_PER_TASK = 256  # on a local disk starting a task costs more than a `stat`
_READ_THREADS = 4


def find_missing_chunks(store: FeatureStore, images: Sequence[StoredImage]) -> dict[int, str]:
    """Check that every chunk of some images exists and is not shorter than a chunk can be.

    One `stat` a chunk: listing would need a call for each of the three folder levels above it. What
    is given by URL has no levels: it is listed.

    Parameters
    ----------
    store : FeatureStore
    images : sequence of StoredImage
        Complete ones.

    Returns
    -------
    dict of int to str
        By image number: the first chunk that is missing or cut off, in words.
    """
    if isinstance(store.path, UrlPath):
        n_bytes = {str(one.relative_to(store.path)): n for one, n in store.path.files().items()}
        return _first_missing(store, images, lambda key: _fault_of(n_bytes.get(key)))
    batches = [images[at : at + _IMAGES_PER_TASK] for at in range(0, len(images), _IMAGES_PER_TASK)]
    stat_fault, found = partial(_stat_fault, store.path), dict[int, str]()
    with ThreadPoolExecutor(_STAT_THREADS, "dseg-look") as pool:
        for faults in pool.map(partial(_first_missing, store, fault_of=stat_fault), batches):
            found |= faults
    return found


def _first_missing(
    store: FeatureStore, images: Sequence[StoredImage], fault_of: Callable[[str], str | None]
) -> dict[int, str]:
    found = {}
    for image in images:
        keys = [key.format(image.index) for key in _PER_IMAGE_KEYS]
        keys += [key.format(row) for row in store.rows(image.index) for key in store.row_keys]
        for key in keys:
            if (fault := fault_of(key)) is not None:
                found[image.index] = f"image '{image.name}': '{key}' {fault}"
                break
    return found


def _stat_fault(folder: Path, key: str) -> str | None:
    try:
        return _fault_of(os.stat(f"{folder}/{key}").st_size)  # noqa: PTH116  (3 times slower)
    except (FileNotFoundError, NotADirectoryError):
        return _fault_of(None)


def _fault_of(n_bytes: int | None) -> str | None:
    """Say what is wrong with a chunk of so many bytes, or with one that is not there."""
    if n_bytes is None:
        return "is missing"
    return None if n_bytes >= MIN_CHUNK_BYTES else "is cut off"


def find_damaged_images(
    store: FeatureStore, images: Sequence[StoredImage], advance: Callable[[int], None]
) -> dict[int, str]:
    """Read every chunk of images.

    Parameters
    ----------
    store : FeatureStore
    images : sequence of StoredImage
        Complete ones, or such as could not be extracted.
    advance : callable
        Called with 1 after each image.

    Returns
    -------
    dict of int to str
        By image number: what is wrong, in words.
    """
    found: dict[int, str] = {}
    with ThreadPoolExecutor(min(_READ_THREADS, os.cpu_count() or 1), "dseg-verify") as pool:
        for image, fault in zip(images, pool.map(partial(_read, store), images), strict=True):
            if fault is not None:
                found[image.index] = fault
            advance(1)
    return found


def _read(store: FeatureStore, image: StoredImage) -> str | None:
    try:
        store.verify(image.index)
    except StoreError as error:
        return str(error).partition(f". {VERIFY}")[0]
    return None
