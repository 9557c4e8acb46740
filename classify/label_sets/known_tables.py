"""Ids and colours that published data sets give their classes."""

from functools import cache

from ..labels.classes import Classes, Colour
from .class_table import VOID_BORDER, ClassTable

__all__ = ["cityscapes_classes", "cityscapes_colours", "cityscapes_ids", "voc_colours"]

# The 19 classes that Cityscapes scores, in the order of its train ids: name, id, colour.
# Source: Cordts et al., "The Cityscapes Dataset", CVPR 2016, and the labels its scripts define.
_CITYSCAPES: tuple[tuple[str, int, Colour], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
_CITYSCAPES_VOID: tuple[Colour, ...] = (
    *((0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180)),
    *((150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110)),
)


def cityscapes_ids() -> ClassTable:
    """Return what the ids of Cityscapes' ``…_labelIds.png`` are: the classes that it scores.

    The others, such as "out of roi" and "parking", are pixels without a class, as its own scores
    take them.
    """
    by_id = {number: k for k, (_, number, _) in enumerate(_CITYSCAPES)}
    voids = tuple(number for number in (*range(34), 255) if number not in by_id)
    return ClassTable("Cityscapes", _classes(), by_id, voids=voids)


def cityscapes_colours() -> ClassTable:
    """Return what the colours of Cityscapes' ``…_color.png`` are; see `cityscapes_ids`."""
    colours = {colour: k for k, (_, _, colour) in enumerate(_CITYSCAPES)}
    colours |= dict.fromkeys(_CITYSCAPES_VOID, -1)
    return ClassTable("Cityscapes", _classes(), colours=colours, by_colour=True)


def cityscapes_classes() -> ClassTable:
    """Return the classes that Cityscapes scores, whose ids are those of ``…_labelTrainIds.png``."""
    return ClassTable("Cityscapes", _classes())


def _classes() -> Classes:
    names, _, colours = zip(*_CITYSCAPES, strict=True)
    return Classes(names, colours)


@cache
def voc_colours() -> dict[Colour, int]:
    """Return the ids of the colours of PASCAL VOC's palette; -1 of its border.

    Examples
    --------
    >>> voc_colours()[128, 0, 0], voc_colours()[64, 128, 0]
    (1, 10)
    """
    found: dict[Colour, int] = {VOID_BORDER: -1}
    for number in range(64):
        red = green = blue = 0
        for shift in range(8):
            bits = number >> (3 * shift)
            red |= (bits & 1) << (7 - shift)
            green |= (bits >> 1 & 1) << (7 - shift)
            blue |= (bits >> 2 & 1) << (7 - shift)
        found[red, green, blue] = number
    return found
