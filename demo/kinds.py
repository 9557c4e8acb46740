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
    (86, 180, 233),
    (0, 158, 115),
    (150, 150, 150),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 72, 150),
    (110, 62, 20),
    (160, 220, 150),
    (230, 159, 0),
    (20, 20, 20),
)
"""Red, green, blue of each class: Okabe and Ito's, and between them others apart in brightness."""
