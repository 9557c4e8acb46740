"""Images that a store marks complete but that are damaged: found, reported, extracted again."""

from collections.abc import Collection

from ...store.read.integrity import find_damaged_images, find_missing_chunks
from ...store.read.reader import FeatureStore
from ..console.progress import Progress

__all__ = ["to_mend"]


def to_mend(
    store: FeatureStore, stems: Collection[str], progress: Progress, *, verify: bool
) -> set[int]:
    """Return the numbers of the images to extract again, and warn of them.

    Parameters
    ----------
    store : FeatureStore
    stems : collection of str
        Of the images to look at.
    progress : Progress
    verify : bool
        Read every chunk, instead of looking at keys and sizes.
    """
    complete = [image for image in store.images if image.complete and image.stem in stems]
    cut = find_missing_chunks(store, complete)
    bad: dict[int, str] = {}
    if verify:
        rest = [image for image in complete if image.index not in cut]
        with progress.bar("verify", len(rest), "images") as advance:
            bad = find_damaged_images(store, rest, advance)
    found = cut | bad
    if found:
        of_which = [f"{len(cut)} with missing or truncated chunks"] if cut else []
        of_which += [f"{len(bad)} with damaged chunks"] if bad else []
        progress.warn(
            f"{len(found)} of {len(complete)} complete images of {store.where} are extracted "
            f"again, {' and '.join(of_which)}. The first: {found[min(found)]}"
        )
    elif verify:
        progress.say(
            f"verified: all chunks of {len(complete)} complete images of {store.where} are intact"
        )
    return set(found)
