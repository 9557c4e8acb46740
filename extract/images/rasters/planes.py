"""Which plane of a file with several is read: a page, a slice, a point in time, or a projection.

Axes are called by their letters in OME (``z``, ``t``), pages of other files ``page``. Numbers count
from 1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from .unsuitable import Unsuitable

__all__ = ["FIRST_PLANE", "PROJECTIONS", "PlaneChoice", "Planes"]

PROJECTIONS = ("max", "mean", "min")
_PART = re.compile(r"(?:([a-z]+)=)?([0-9]{1,9}|max|mean|min)")
_EXPECTED = "expected a number from 1, max, mean or min, or such by axis: z=3,t=max"


@dataclass(frozen=True)
class Planes:
    """The planes that are read of one file.

    Parameters
    ----------
    chosen : tuple of tuple of int
        Each the numbers of a plane, from 0, one for each axis.
    projection : str or None
        How several become one: one of `PROJECTIONS`.
    """

    chosen: tuple[tuple[int, ...], ...]
    projection: str | None = None


@dataclass(frozen=True)
class PlaneChoice:
    """What is asked for of the planes of every file.

    Parameters
    ----------
    parts : tuple of (axis, number or projection)
        An empty axis is the only one that a file has. Of axes that are not named, the first.
    """

    parts: tuple[tuple[str, int | str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __str__(self) -> str:
        return ",".join(f"{axis}={value}" if axis else str(value) for axis, value in self.parts)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return a choice from its text.

        Raises
        ------
        ValueError
            If it is none.

        Examples
        --------
        >>> PlaneChoice.parse("z=max,t=2").parts, str(PlaneChoice.parse("7"))
        ((('z', 'max'), ('t', 2)), '7')
        """
        parts: list[tuple[str, int | str]] = []
        for piece in text.split(","):
            match = _PART.fullmatch(piece.strip().lower())
            if match is None:
                raise ValueError(f"'{piece}' is no plane: {_EXPECTED}")
            parts.append((match[1] or "", int(match[2]) if match[2].isdigit() else match[2]))
        return cls._checked(parts)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return a choice from `to_dict`'s values.

        Raises
        ------
        ValueError
            If they are none.
        """
        if not isinstance(plain, Mapping):
            raise ValueError(f"{plain!r} is no choice of planes")
        return cls.parse(
            ",".join(f"{key}={value}" if key else f"{value}" for key, value in plain.items())
        )

    @classmethod
    def _checked(cls, parts: list[tuple[str, int | str]]) -> Self:
        axes = [axis for axis, _ in parts]
        if len(set(axes)) < len(axes) or ("" in axes and len(axes) > 1):
            raise ValueError(f"an axis is named twice, or not at all: {_EXPECTED}")
        if any(value == 0 for _, value in parts):
            raise ValueError(f"planes count from 1: {_EXPECTED}")
        if len({value for _, value in parts if isinstance(value, str)}) > 1:
            raise ValueError("two projections are given: expected the same for all axes")
        return cls(tuple(parts))

    def to_dict(self) -> dict[str, int | str]:
        """Return plain JSON values; `from_dict` is the inverse."""
        return dict(self.parts)

    def of(self, axes: Mapping[str, int]) -> Planes:
        """Return which planes are read of a file.

        Parameters
        ----------
        axes : mapping of str to int
            How many there are along each axis, in order.

        Raises
        ------
        Unsuitable
            If the file has no such planes.

        Examples
        --------
        >>> PlaneChoice.parse("max").of({"z": 2})
        Planes(chosen=((0,), (1,)), projection='max')
        """
        wanted = dict(self.parts)
        if "" in wanted:
            long = [axis for axis, count in axes.items() if count > 1] or list(axes)[:1]
            if len(long) > 1:
                raise Unsuitable(
                    f"has {_words(axes)}: say which with --plane, such as {long[0]}={wanted['']}"
                )
            wanted = dict.fromkeys(long, wanted[""]) or {"page": wanted[""]}
        for axis in wanted.keys() - axes.keys():
            if wanted[axis] not in (1, *PROJECTIONS):
                raise Unsuitable(f"has {_words(axes)}, but --plane asks for {axis}={wanted[axis]}")
        numbers, projection = [], None
        for axis, count in axes.items():
            value = wanted.get(axis, 1)
            if isinstance(value, str):
                numbers.append(range(count))
                projection = value
            elif value > count:
                raise Unsuitable(f"has {_words(axes)}, but --plane asks for {axis}={value}")
            else:
                numbers.append(range(value - 1, value))
        return Planes(tuple(product(*numbers)), projection)


FIRST_PLANE = PlaneChoice()
"""Unless another is asked for."""


def _words(axes: Mapping[str, int]) -> str:
    if not axes:
        return "one plane"
    return " and ".join(
        f"{count} plane{'s' if count > 1 else ''} along {axis}" for axis, count in axes.items()
    )
