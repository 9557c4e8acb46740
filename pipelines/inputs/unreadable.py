"""What becomes of an image that cannot be read: it is left out and listed, or the run ends."""

from collections.abc import Iterable
from typing import Literal

from ...store.errors import StoreError
from ...store.read.protocol import Features
from ..console.progress import Progress

__all__ = ["Unreadable", "find_unreadable"]

Unreadable = Literal["stop", "skip"]


def find_unreadable(store: Features, stems: Iterable[str], progress: Progress) -> dict[str, str]:
    """Read all features of some complete images; return why those are not readable that are not.

    Parameters
    ----------
    store : Features
    stems : iterable of str
    progress : Progress

    Returns
    -------
    dict of str to str
        The reason by stem.
    """
    numbers = {image.stem: image for image in store.images}
    chosen, found = [numbers[stem] for stem in stems], dict[str, str]()
    with progress.bar("check", len(chosen), "images") as advance:
        for image in chosen:
            try:
                _ = image.sha256
                for row in store.rows(image.index):
                    for size in store.spec.map_sizes:
                        store.map(row, size)
            except StoreError as error:
                found[image.stem] = str(error)
            advance(1)
    return found
