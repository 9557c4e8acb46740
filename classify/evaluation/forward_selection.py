"""Forward selection of features, and how many of them to keep."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .estimates import IouEstimate

__all__ = ["MIN_GAIN", "Step", "forward_selection", "smallest_within_error"]

MIN_GAIN = 0.01
"""Smaller differences of mIoU do not justify more layers: seeds alone may differ by as much."""

Names = tuple[str, ...]
Score = Callable[[Sequence[Names]], list[IouEstimate]]


class Step(NamedTuple):
    """One step of the selection: the names chosen so far, in order, and their score."""

    names: Names
    found: IouEstimate


def forward_selection(
    alone: Sequence[Step], score: Score, most: int, at_once: int = 1
) -> list[Step]:
    """Add the part that helps most, again and again, up to ``most`` parts.

    Lazy evaluation from the third part on: it assumes that a part gains no more when it is added to
    a larger set than it did the last time it was tried, and skips parts that cannot be the best any
    more. (In the second round all are tried, for the score of a part by itself says little about
    what it adds to another.)

    Parameters
    ----------
    alone : sequence of Step
        Every part by itself.
    score : callable
        Scores several sets.
    most : int
        Parts, at most.
    at_once : int
        Sets to score in one call.

    References
    ----------
    Minoux, "Accelerated greedy algorithms for maximizing submodular set functions", 1978.
    """
    path = [max(alone, key=lambda step: step.found.mean_iou)]
    bound = {step.names[0]: float("inf") for step in alone}
    while len(path) < most and (candidates := _try_additions(path[-1], bound, score, at_once)):
        path.append(max(candidates, key=lambda step: step.found.mean_iou))
    return path


def _try_additions(last: Step, bound: dict[str, float], score: Score, at_once: int) -> list[Step]:
    """Try to add each part to a set, the most promising first; record the gains in ``bound``."""
    remaining = sorted((name for name in bound if name not in last.names), key=lambda n: -bound[n])
    candidates, best = list[Step](), float("-inf")
    while remaining and bound[remaining[0]] > best:
        sets = [(*last.names, name) for name in remaining[:at_once]]
        remaining = remaining[at_once:]
        for names, found in zip(sets, score(sets), strict=True):
            candidates.append(Step(names, found))
            bound[names[-1]] = found.mean_iou - last.found.mean_iou
            best = max(best, bound[names[-1]])
    return candidates


def smallest_within_error(path: Sequence[Step]) -> Step:
    """Return the smallest set of a path whose score is as good as the best, up to chance.

    That is within one standard error of the difference, or within `MIN_GAIN` if that is larger.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, "Classification and Regression Trees", 1984: the rule of one
    standard error.
    """
    best = max(path, key=lambda step: step.found.mean_iou)
    return next(
        step
        for step in path
        if best.found.mean_iou - step.found.mean_iou
        <= max(MIN_GAIN, best.found.difference_error(step.found))
    )
