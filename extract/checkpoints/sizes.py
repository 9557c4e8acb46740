"""Sizes of images as configurations state them: a side, or height and width."""

from typing import Any

__all__ = ["MOST_SIDE", "two_sides"]

MOST_SIDE = 4096
"""Pixels of a side that a file may ask for: of the networks in use 1024. The option ``--size`` has
no bound."""


def two_sides(stated: Any) -> tuple[int, int] | None:
    """Return height and width in pixels; None if that is not what is stated, or above `MOST_SIDE`.

    Examples
    --------
    >>> two_sides(64), two_sides([64, 96]), two_sides("large"), two_sides(0)
    ((64, 64), (64, 96), None, None)
    >>> two_sides(100_000)
    """
    sides = list(stated) if isinstance(stated, list | tuple) else [stated, stated]
    if len(sides) != 2 or any(
        type(side) is not int or not 1 <= side <= MOST_SIDE for side in sides
    ):
        return None
    return sides[0], sides[1]
