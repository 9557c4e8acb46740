"""``dseg labels check``: what would be used of label maps, and what is wrong with them."""

from collections import Counter

from ..console.progress import Progress
from .config import CheckSummary, LabelsConfig
from .examine import examine

__all__ = ["check"]


def check(config: LabelsConfig, progress: Progress | None = None) -> CheckSummary:
    """Read all label maps of some images, and say what commands would make of them.

    Raises
    ------
    InputError
        If there are no images, or the list is wrong.
    """
    found = examine(config, progress or Progress())
    pixels, maps = Counter[int](), Counter[int]()  # of each class, and label maps that have it
    for one in found.survey.maps:
        pixels.update(one.pixels)
        maps.update(one.pixels.keys())
    classes = {
        name: {"pixels": pixels[k], "label_maps": maps[k]}
        for k, name in enumerate(found.classes.names)
    }
    plain = "plain label maps, class ids as they are" if found.labels.entries else ""
    return CheckSummary(
        str(config.labels),
        found.labels.described or plain,
        len(found.images.names),
        len(found.labels.entries),
        classes if found.survey.maps else {},
        found.survey.pixels[found.labels.ignore],
        tuple(found.problems),
        tuple(found.notes),
    )
