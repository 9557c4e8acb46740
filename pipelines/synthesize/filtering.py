"""Which synthetic images are kept: those whose masks are the most certain."""

from collections.abc import Mapping, Sequence
from typing import Literal

__all__ = ["Rule", "kept"]

Rule = Literal["certain", "paper", "all"]

_FIRST_DROPPED = 30
"""The published slice leaves out so many of the most certain images, too."""


def kept(scores: Mapping[int, float], rule: Rule, dropped: float) -> Sequence[int]:
    """Return the numbers of the images that are kept, ascending.

    Parameters
    ----------
    scores : mapping of int to float
        `image_uncertainty` by number.
    rule : {"certain", "paper", "all"}
        "certain": all but the share ``dropped`` whose masks are the least certain, at least one.
        "paper": the published slice, ``[30 : -n + 30]`` of the images by rising uncertainty, with
        ``n = int(dropped * count)``. It leaves out the 30 most certain ones as well and, of the
        least certain, 30 fewer than the share; where the share is no more than 30 images it leaves
        nothing.
    dropped : float
        In [0, 1).

    References
    ----------
    Zhang et al., "DatasetGAN", CVPR 2021: the released ``generate_data`` and ``train_deeplab``.

    Examples
    --------
    >>> kept({0: 0.3, 1: 0.1, 2: 0.2, 3: 0.4}, "certain", 0.25)
    [0, 1, 2]
    >>> len(kept({k: k / 500 for k in range(500)}, "paper", 0.1))
    450
    >>> kept({k: k / 100 for k in range(100)}, "paper", 0.1)
    []
    """
    order = sorted(scores, key=lambda number: (scores[number], number))
    n = int(dropped * len(order))
    if rule == "certain":
        order = order[: max(1, len(order) - n)]
    elif rule == "paper":
        order = order[_FIRST_DROPPED : -n + _FIRST_DROPPED]
    return sorted(order)
