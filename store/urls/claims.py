"""Claims on places that may be URLs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..claims import Claim, claimed
from .location import Location, UrlPath

__all__ = ["claimed_place"]


@contextmanager
def claimed_place(place: Location, key: str | None, doing: str, **how: Any) -> Iterator[Claim]:
    """Claim a folder for a run, see `claims.claimed`; nothing of what is given by URL.

    An object cannot be held, so that nobody could tell whether the run of a claim lives. Each image
    has objects of its own, written whole; who writes a store or masks of other features or another
    model is refused by what is there.
    """
    if isinstance(place, UrlPath):
        yield Claim(None, f"'{place}'")
        return
    with claimed(place, key, doing, **how) as claim:
        yield claim
