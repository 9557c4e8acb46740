"""How classes, numbers and commands are written in the page."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....classify.labels.classes import Colour
from .markup import Html, shortened, tag

__all__ = ["Look", "command", "missing", "name_of", "percent", "score"]

_MOST_NAME, _SHORT = 60, 20
_UNIT = "\N{NO-BREAK SPACE}%"


@dataclass(frozen=True)
class Look:
    """The classes' names and colours.

    Parameters
    ----------
    names : sequence of str
    colours : sequence of (red, green, blue)
        As overlays show them.
    """

    names: Sequence[str]
    colours: Sequence[Colour]

    def plain(self, k: int) -> str:
        """Return the name of a class as text, such as for a picture's description."""
        known = 0 <= k < len(self.names)
        return shortened(self.names[k], _MOST_NAME) if known else f"no class ({k})"

    def named(self, k: int) -> Html:
        """Return a patch of the class's colour, and its name."""
        if not 0 <= k < len(self.names):
            return tag("span", self.plain(k))
        red, green, blue = self.colours[k]
        patch = tag(
            "span",
            class_="swatch",
            style=f"background:#{red:02x}{green:02x}{blue:02x}",
            aria_hidden="true",
        )
        name = self.plain(k)
        short = "short" if len(name) <= _SHORT else None  # on one line with its patch
        return tag("span", patch, tag("bdi", name), class_=short)

    def legend(self, ids: Sequence[int]) -> Html:
        """Return what the colours of pictures mean."""
        return tag("ul", *(tag("li", self.named(k)) for k in ids), class_="legend")

    def described(self, ids: NDArray[np.integer], ignore: int | None = None) -> str:
        """Return what a mask shows, in words: its most frequent classes with their shares."""
        values, counts = np.unique(ids, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:5]
        shares = [
            f"{'unlabelled' if values[i] == ignore else self.plain(int(values[i]))} "
            f"{percent(float(counts[i]) / ids.size)}"
            for i in order
        ]
        return ", ".join(shares) + (", …" if len(values) > len(order) else "")


def score(value: float | None) -> str:
    """Return a score with three decimals; a dash where there is none.

    Examples
    --------
    >>> score(0.5), score(None), score(float("nan"))
    ('0.500', '–', '–')
    """
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def percent(share: float) -> str:
    """Return a share of 1 in per cent.

    Examples
    --------
    >>> [percent(share).replace(_UNIT, " %") for share in (0.5, 0.034, 0.0001, 0.0)]
    ['50 %', '3.4 %', 'under 0.1 %', '0 %']
    """
    if share == 0:
        return f"0{_UNIT}"
    if share < 0.001:
        return f"under 0.1{_UNIT}"
    digits = 1 if share < 0.0995 or 0.995 <= share < 1 else 0
    return f"{100 * share:.{digits}f}{_UNIT}"


def name_of(file: str) -> Html:
    """Return the name of an image, kept apart from the text around it, however it is written."""
    return tag("bdi", shortened(file, _MOST_NAME))


def command(*words: str) -> Html:
    """Return a command line to copy."""
    return tag("pre", tag("code", shortened(f"dseg {shlex.join(words)}", 2000)), tabindex="0")


def missing(words: str, line: Html) -> Html:
    """Return what stands where an input is missing: what for, and the command that makes it."""
    return tag("div", tag("p", words), line, class_="missing")
