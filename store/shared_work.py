"""Runs that make the same thing in one folder share the work, piece by piece.

Who begins a piece holds a lock file of it until it is done (`Claim.take`); others leave it out, and
come back for what is not done in the end, should its run have been killed.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ["SharedWork", "Take"]

_POLL = 0.05  # seconds
_NOTIFY_AFTER = 2.0

Take = Callable[[str], Callable[[], None] | None]
"""Takes a piece, by name; returns what releases it, None if another run has it."""


class SharedWork:
    """The pieces that this run holds, and those that it left to others. Safe for several threads.

    Parameters
    ----------
    take : callable
        `Claim.take`.

    Attributes
    ----------
    elsewhere : dict
        Pieces that other runs had begun, in their order, as keys.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._held: dict[str, Callable[[], None]] = {}
        self.elsewhere: dict[str, None] = {}

    @classmethod
    @contextmanager
    def of(cls, take: Take) -> Iterator[Self]:
        """Yield one that holds nothing any more in the end."""
        work = cls(take)
        try:
            yield work
        finally:
            for item in list(work._held):
                work.end(item)

    def begin(self, item: str, is_done: Callable[[], bool]) -> bool:
        """Whether this run is to do a piece; then it holds it until `end`."""
        if is_done():
            return False
        release = self._take(item)
        if release is None:
            self.elsewhere[item] = None
            return False
        self._held[item] = release
        if is_done():  # by a run that has just released it
            self.end(item)
            return False
        return True

    def end(self, item: str) -> None:
        """Let go of a piece, if it is held."""
        release = self._held.pop(item, None)
        if release is not None:
            release()

    def left(self, say: Callable[[str], None]) -> Iterable[str]:
        """Yield the pieces that others had begun, each when nobody has it any more.

        Parameters
        ----------
        say : callable
            Called with a message after some seconds of waiting.
        """
        started, told = time.monotonic(), False
        items, self.elsewhere = self.elsewhere, {}
        for item in items:
            while (release := self._take(item)) is None:
                if not told and time.monotonic() - started > _NOTIFY_AFTER:
                    say(f"waiting for another run, which is at '{item}'")
                    told = True
                time.sleep(_POLL)
            release()
            yield item
