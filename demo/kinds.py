"""The classes of a drawn scene and the colours that show them."""

from enum import IntEnum

__all__ = ["CLASSES", "COLOURS", "Kind"]


class Kind(IntEnum):
    """Class ids."""

    SKY = 0
    GROUND = 1
    ROAD = 2
    WALL = 3
    ROOF = 4
    DOOR = 5
    WINDOW = 6
    TRUNK = 7
    CROWN = 8
    CAR = 9
    WHEEL = 10


CLASSES: tuple[str, ...] = tuple(kind.name.lower() for kind in Kind)
"""Name of each class id."""

COLOURS: tuple[tuple[int, int, int], ...] = (
    (115, 210, 250),
    (5, 111, 110),
    (153, 161, 149),
    (250, 241, 21),
    (168, 53, 7),
    (170, 84, 222),
    (5, 15, 165),
    (69, 11, 5),
    (170, 208, 130),
    (221, 122, 9),
    (16, 5, 31),
)
"""Red, green, blue of each class. Eleven are more than Okabe and Ito's eight, so these were sought
for the same end: with normal, protan, deutan and tritan vision alike, any two lie 0.1 and more
apart in Oklab (of Okabe and Ito's, 0.076)."""
