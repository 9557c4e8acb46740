"""Whether what a store calls complete is there, and whole.

`lacking` looks at keys and their sizes alone; `damaged` reads every chunk. What either finds,
``dseg extract`` writes anew.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..errors import VERIFY, StoreError
from .image_tables import StoredImage
from .reader import FeatureStore

__all__ = ["damaged", "lacking"]

LEAST = 5  # bytes of a chunk: its checksum alone has 4
_FACTS = ("complete/c/{}", "facts/sha256/c/{}/0", "facts/nonfinite/c/{}/0", "facts/clipped/c/{}/0")
_LOOKERS = 8  # on a disk across a network each look takes a while
_TOGETHER = 256  # images a task: on a disk of this machine a task costs more than a look
_READERS = 4


def lacking(store: FeatureStore, images: Sequence[StoredImage]) -> dict[int, str]:
    """Look whether every chunk of images is there, and is no shorter than a chunk can be.

    One look a chunk, at its very key: chunks lie three folders below what a listing shows.

    Parameters
    ----------
    store : FeatureStore
    images : sequence of StoredImage
        Complete ones.

    Returns
    -------
    dict of int to str
        By number of the image what is wrong with the first such chunk.
    """
    parts = [images[at : at + _TOGETHER] for at in range(0, len(images), _TOGETHER)]
    found: dict[int, str] = {}
    with ThreadPoolExecutor(_LOOKERS, "dseg-look") as pool:
        for some in pool.map(partial(_lacking, store), parts):
            found |= some
    return found


def _lacking(store: FeatureStore, images: Sequence[StoredImage]) -> dict[int, str]:
    found = {}
    for image in images:
        keys = [key.format(image.index) for key in _FACTS]
        keys += [key.format(row) for row in store.rows(image.index) for key in store.row_keys]
        for key in keys:
            if (fault := _fault(f"{store.path}/{key}")) is not None:
                found[image.index] = f"image '{image.name}': '{key}' {fault}"
                break
    return found


def _fault(path: str) -> str | None:
    try:
        return None if os.stat(path).st_size >= LEAST else "is cut off"  # noqa: PTH116  (3 times slower)
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"


def damaged(
    store: FeatureStore, images: Sequence[StoredImage], advance: Callable[[int], None]
) -> dict[int, str]:
    """Read every chunk of images.

    Parameters
    ----------
    store : FeatureStore
    images : sequence of StoredImage
        Complete ones.
    advance : callable
        Told of each image that is read.

    Returns
    -------
    dict of int to str
        By number of the image what is wrong with it.
    """
    found: dict[int, str] = {}
    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1), "dseg-verify") as pool:
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
