"""Where a run is, in lines: what takes the place of a bar where nobody watches a terminal.

A log of a batch job grows by a line now and then: the first after ten seconds of a stage, then
each half minute, later after a tenth of the time that has passed, but every ten minutes.
"""

import time
from collections.abc import Callable

from tqdm import tqdm

__all__ = ["Lines", "Now"]

FIRST = 10.0
"""Seconds of a stage without a line: what is done sooner needs none."""
LEAST, MOST = 30.0, 600.0
"""Seconds between two lines."""
_GROWTH = 0.1


class Now:
    """Says whether it is time for a line; if so, it is not for a while.

    Parameters
    ----------
    seconds : callable
        The time.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._began = seconds, seconds()
        self._due = self._began + FIRST

    def __call__(self) -> bool:
        """Say whether a line is due."""
        now = self._seconds()
        if now < self._due:
            return False
        self._due = now + min(MOST, max(LEAST, _GROWTH * (now - self._began)))
        return True


class Lines:
    """The lines of a stage.

    Parameters
    ----------
    label : str
    total : int
    unit : str
        Such as "images".
    seconds : callable
        The time.
    """

    def __init__(
        self, label: str, total: int, unit: str, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._seconds, self._due = seconds, Now(seconds)
        self._done, self._told = 0, (0, seconds())

    def advance(self, n: int) -> str | None:
        """Take note of n more units; return the line, if one is due."""
        self._done += n
        if not self._due():
            return None
        # At the pace since the line before: what a run finds done already tells nothing.
        (done, then), now = self._told, self._seconds()
        self._told = self._done, now
        left = max(0, self._total - self._done) * (now - then) / max(1, self._done - done)
        share = 100 * self._done // max(1, self._total)
        done_of = f"{self._label}: {self._done} of {self._total} {self._unit} ({share} %)"
        return f"{done_of}, about {tqdm.format_interval(left)} left"
