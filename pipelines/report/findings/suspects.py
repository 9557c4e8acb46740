"""Where a label map may be wrong: parts of an image where sure held-out masks disagree with it.

The ensemble has not learnt from the image. A part counts if

- its pixels have one labelled class and the masks give them one other class,
- they are among the surer three quarters of all pixels by uncertainty,
- it is more than a line: a disc of a hundredth of the image's shorter side fits in. Masks are often
  a few pixels off along the borders of things.

Parts are ordered by ``area × (1 - confusion rate)``: the share of the image's pixels, and how
seldom the masks confuse these two classes elsewhere. A class that masks always take for another one
is the model's fault, not that of a label (compare Northcutt et al., "Confident Learning", JAIR
2021, who judge a label by the noise of its class).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .held_out import HeldOut
from .scores import Scores

__all__ = ["MOST_SUSPECTS", "Suspect", "choose_suspects", "suspects_in"]

MOST_SUSPECTS = 8
_MOST_AN_IMAGE = 2
_LEAST_SCORE = 0.001  # of an image's pixels


@dataclass(frozen=True)
class Suspect:
    """A part of an image in which a label map may be wrong.

    Parameters
    ----------
    stem : str
    label, mask : int
        The class that is labelled, and the one that the held-out masks say.
    pixels : int
    box : tuple of int
        First line and column, and those after the last: of all the pixels.
    score : float
        By which they are ordered, the highest first.
    """

    stem: str
    label: int
    mask: int
    pixels: int
    box: tuple[int, int, int, int]
    score: float


def suspects_in(seen: HeldOut, scores: Scores) -> list[Suspect]:
    """Return the suspicious parts of one image, the worst first; at most two."""
    known = (seen.label != scores.ignore) & (seen.mask < len(scores.names))
    wrong = known & (seen.label != seen.mask)
    if seen.uncertainty is not None and scores.sure is not None:
        wrong &= scores.step_of(seen.uncertainty) <= scores.sure
    found = [one for pair in _pairs(seen, wrong) for one in _parts(seen, wrong, pair, scores)]
    found.sort(key=_order)
    return found[:_MOST_AN_IMAGE]


def choose_suspects(found: list[Suspect]) -> list[Suspect]:
    """Return the worst of all images, the worst first."""
    return sorted(found, key=_order)[:MOST_SUSPECTS]


def _order(one: Suspect) -> tuple[float, str, tuple[int, ...]]:
    return -one.score, one.stem, one.box


def _pairs(seen: HeldOut, wrong: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return which classes are confused in enough pixels, (labelled, masks')."""
    pairs = np.stack([seen.label[wrong].astype(np.int64), seen.mask[wrong].astype(np.int64)])
    (label, mask), counts = np.unique(pairs, axis=1, return_counts=True)
    enough = counts >= _LEAST_SCORE * wrong.size
    return list(zip(label[enough].tolist(), mask[enough].tolist(), strict=True))


def _parts(
    seen: HeldOut, wrong: NDArray[np.bool_], pair: tuple[int, int], scores: Scores
) -> Iterator[Suspect]:
    from scipy import ndimage

    label, mask = pair
    here = wrong & (seen.label == label) & (seen.mask == mask)
    side = 2 * max(1, min(here.shape) // 100) + 1
    opened = ndimage.binary_opening(here, np.ones((side, side), bool))
    parts, _ = ndimage.label(opened)
    sizes = np.bincount(parts.ravel())
    unlike = 1 - scores.taken_for(label, mask)
    for number, box in enumerate(ndimage.find_objects(parts), 1):
        score = float(sizes[number]) / here.size * unlike
        if score >= _LEAST_SCORE:
            y, x = box
            place = (y.start, x.start, y.stop, x.stop)
            yield Suspect(seen.stem, label, mask, int(sizes[number]), place, score)
