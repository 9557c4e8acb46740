"""Where a label map may be wrong: parts of an image where sure held-out masks disagree with it.

The ensemble has not learnt from the image. A part counts if

- its pixels have one labelled class and the masks give them one other class,
- they are among the surer three quarters of all pixels by uncertainty,
- it is more than a line: a square fits in, of a fiftieth of the image's shorter side (3 pixels at
  least). Masks are often a few pixels off along the borders of things.

Parts are ordered by ``area × (1 - confusion rate)``: the share of the image's pixels, and how
seldom the masks confuse these two classes elsewhere. A class that masks always take for another one
is the model's fault, not that of a label (compare Northcutt et al., "Confident Learning", JAIR
2021, who judge a label by the noise of its class).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .held_out import HeldOut
from .scores import Scores

__all__ = ["MOST_SUSPECTS", "Suspect", "choose_suspects", "suspects_in"]

MOST_SUSPECTS = 8
_MOST_AN_IMAGE = 2
_LEAST_SCORE = 0.001  # of an image's pixels
_SIDE = 1024  # of larger images only every second, third, … pixel is looked at
_MOST_PAIRS = 30  # of classes in an image


@dataclass(frozen=True)
class Suspect:
    """A part of an image in which a label map may be wrong.

    Parameters
    ----------
    stem : str
    label, mask : int
        The class that is labelled, and the one that the held-out masks say.
    pixels : int
        About; of large images every second, third, … is counted.
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
    step = -(-max(seen.label.shape) // _SIDE)
    size, seen = seen.label.shape, _every(seen, step)
    known = (seen.label != scores.ignore) & (seen.mask < len(scores.names))
    wrong = known & (seen.label != seen.mask)
    if seen.uncertainty is not None and scores.sure is not None:
        wrong &= scores.step_of(seen.uncertainty) <= scores.sure
    found = [one for pair in _pairs(seen, wrong) for one in _parts(seen, wrong, pair, scores)]
    found.sort(key=_order)
    return [_scaled(one, step, size) for one in found[:_MOST_AN_IMAGE]]


def _every(seen: HeldOut, step: int) -> HeldOut:
    """Return every ``step``-th line and column of an image."""
    u = None if seen.uncertainty is None else seen.uncertainty[::step, ::step]
    label, mask = seen.label[::step, ::step], seen.mask[::step, ::step]
    return replace(seen, label=label, mask=mask, uncertainty=u)


def _scaled(one: Suspect, step: int, size: tuple[int, ...]) -> Suspect:
    y0, x0, y1, x1 = (step * side for side in one.box)
    box = (y0, x0, min(y1, size[0]), min(x1, size[1]))
    return replace(one, pixels=one.pixels * step**2, box=box)


def choose_suspects(found: list[Suspect]) -> list[Suspect]:
    """Return the worst of all images, the worst first."""
    return sorted(found, key=_order)[:MOST_SUSPECTS]


def _order(one: Suspect) -> tuple[float, str, tuple[int, ...]]:
    return -one.score, one.stem, one.box


def _pairs(seen: HeldOut, wrong: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return which classes are confused in enough pixels, (labelled, masks')."""
    pairs = np.stack([seen.label[wrong].astype(np.int64), seen.mask[wrong].astype(np.int64)])
    (label, mask), counts = np.unique(pairs, axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_PAIRS]
    enough = order[counts[order] >= _LEAST_SCORE * wrong.size]
    return list(zip(label[enough].tolist(), mask[enough].tolist(), strict=True))


def _parts(
    seen: HeldOut, wrong: NDArray[np.bool_], pair: tuple[int, int], scores: Scores
) -> Iterator[Suspect]:
    from scipy import ndimage

    label, mask = pair
    here = wrong & (seen.label == label) & (seen.mask == mask)
    top, left = (int(here.any(axis=axis).argmax()) for axis in (1, 0))
    side = 2 * max(1, min(here.shape) // 100) + 1
    parts, _ = ndimage.label(_opened(here[top:, left:], side))
    sizes = np.bincount(parts.ravel())
    unlike = 1 - scores.taken_for(label, mask)
    for number, (y, x) in enumerate(ndimage.find_objects(parts), 1):
        score = float(sizes[number]) / here.size * unlike
        if score >= _LEAST_SCORE:
            place = (top + y.start, left + x.start, top + y.stop, left + x.stop)
            yield Suspect(seen.stem, label, mask, int(sizes[number]), place, score)


def _opened(part: NDArray[np.bool_], side: int) -> NDArray[np.uint8]:
    """Return only what squares of a side fit into, line by line and column by column: quick."""
    from scipy import ndimage

    within = ndimage.minimum_filter(part.astype(np.uint8), side, mode="constant")
    opened: NDArray[np.uint8] = ndimage.maximum_filter(within, side, mode="constant")
    return opened
