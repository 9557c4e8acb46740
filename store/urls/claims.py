"""Claims on places that may be URLs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..claims import Claim, claimed
from .location import Location, UrlPath

__all__ = ["claimed_place"]


@contextmanager
def claimed_place(
    place: Location,
    key: str | None,
    doing: str,
    *,
    in_parent: bool = False,
    tidy: Callable[[], object] = lambda: None,
    warn: Callable[[str], object] = lambda text: None,
) -> Iterator[Claim]:
    """Claim a folder for a run, see `claims.claimed`; nothing of what is given by URL.

    An object cannot be held, so that nobody could tell whether the run of a claim lives. Each image
    has objects of its own, written whole; who writes a store or masks of other features or another
    model is refused by what is there.
    """
    if isinstance(place, UrlPath):
        yield Claim(None, f"'{place}'")
        return
    with claimed(place, key, doing, in_parent=in_parent, tidy=tidy, warn=warn) as claim:
        yield claim
