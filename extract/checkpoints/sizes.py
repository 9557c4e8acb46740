"""Sizes of images as configurations state them: a side, or height and width."""

from typing import Any

__all__ = ["two_sides"]


def two_sides(stated: Any) -> tuple[int, int] | None:
    """Return height and width in pixels; None if that is not what is stated.

    Examples
    --------
    >>> two_sides(64), two_sides([64, 96]), two_sides("large"), two_sides(0)
    ((64, 64), (64, 96), None, None)
    """
    sides = list(stated) if isinstance(stated, list | tuple) else [stated, stated]
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        return None
    return sides[0], sides[1]
