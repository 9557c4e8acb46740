"""How a student sees an image: shrunk or enlarged as a whole, or in tiles at its own scale."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ...store.errors import InputError
from ...store.geometry import Geometry, plan_tiles

__all__ = ["View"]

_OVERLAP = 4  # of a tile's side, the part that neighbours share


@dataclass(frozen=True)
class View:
    """What the network's input is.

    Parameters
    ----------
    side : int
        Whole images: pixels of the longer side, to which every image is resized. Tiles: of a
        tile's sides.
    fit : {"whole", "tile"}

    Raises
    ------
    InputError
        If a value is none of these.
    """

    side: int
    fit: Literal["whole", "tile"] = "whole"

    def __post_init__(self) -> None:
        if self.fit not in ("whole", "tile") or not isinstance(self.side, int) or self.side < 1:
            raise InputError(
                f"a student sees images 'whole' or by 'tile', at a positive side: got {self!r}"
            )

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """Return how an image of a height and width is resized and cut.

        Examples
        --------
        >>> View(256).geometry((360, 480)).resized
        (192, 256)
        """
        if self.fit == "tile":
            square = (self.side, self.side)
            return plan_tiles(size, square, "tile", overlap=self.side // _OVERLAP)
        resized = plan_tiles(size, (self.side, self.side), "pad").resized
        return Geometry(size, resized, ((0, 0),), resized)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return the view of plain JSON values."""
        return cls(**plain)
