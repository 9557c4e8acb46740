"""Which of the images of a folder `dseg sample` drew."""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from ...extract.images.reading import UnreadableImage, sha256_of
from ...generate.folder import read_drawn
from ...store.drawn import Drawn
from ...store.urls.location import Location
from ..console.progress import Progress

__all__ = ["drawn_images"]


def drawn_images(
    source: Location,
    found: Mapping[str, Location],
    progress: Progress,
    there: Mapping[str, Drawn] = MappingProxyType({}),
) -> dict[str, Drawn]:
    """Return where those images are from that their folder's ``samples.jsonl`` lists, by name.

    An image is known by the sha256 of its file: under another name it is still the same, and
    another file under its name is not.

    Parameters
    ----------
    source : path
        The folder of images, or an image in such a folder.
    found : mapping of str to path
        The images, by name.
    progress : Progress
    there : mapping of str to Drawn
        Those of which it is known.
    """
    known = read_drawn(source if source.is_dir() else source.parent)
    if known is None:
        return {}
    by, seeds = known
    drawn = dict(there)
    with progress.bar("identify", len(found), "images") as advance:
        for name, path in found.items():
            with suppress(UnreadableImage):  # the survey says so
                seed = None if name in there else seeds.get(sha256_of(path).hex())
                if seed is not None:
                    drawn[name] = Drawn(by, seed)
            advance(1)
    progress.say(
        f"{len(drawn)} of {len(found)} images are synthetic, drawn by {by['checkpoint']}; the "
        "store keeps their seeds"
    )
    return drawn
