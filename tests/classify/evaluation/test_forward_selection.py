"""Forward selection finds what helps, tries no more than it must, and stops within chance."""

import itertools

import numpy as np
import pytest
from dseg.classify.evaluation.estimates import IouEstimate
from dseg.classify.evaluation.forward_selection import (
    Step,
    forward_selection,
    smallest_within_error,
)


def estimate(mean: float, by_image: tuple[float, ...] = (0.0, 0.0)) -> IouEstimate:
    """Two classes of 1000 pixels an image whose mIoU is about ``mean``."""
    counts = []
    for shift in by_image:
        right = 2000 * (mean + shift) / (1 + mean + shift)
        counts.append([[right, 1000 - right], [1000 - right, right]])
    return IouEstimate(np.array(counts))


GOOD = {"a": {0, 1, 2}, "b": {2, 3}, "c": {0, 1}, "d": {4}, "e": set(), "f": {3}}


class Covering:
    """Scores by how many of five things a set covers: what a part adds only ever shrinks."""

    def __init__(self):
        self.tried = []

    def __call__(self, sets):
        self.tried += sets
        return [estimate(0.1 + 0.15 * len(set().union(*map(GOOD.get, names)))) for names in sets]


def alone(score):
    return [Step((name,), score([(name,)])[0]) for name in GOOD]


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_parts_come_in_the_order_of_what_they_add(at_once):
    score = Covering()
    path = forward_selection(alone(score), score, 6, at_once)
    assert path[0].names == ("a",)
    assert set(path[2].names) in ({"a", "b", "d"}, {"a", "f", "d"})
    scores = [step.found.mean_iou for step in path]
    assert scores == pytest.approx([0.55, 0.7, 0.85, 0.85, 0.85, 0.85])


def test_it_is_the_plain_greedy_way_but_tries_fewer():
    score = Covering()
    path = forward_selection(alone(score), score, 3)
    plain = ("a",)
    for _ in range(2):
        left = [name for name in GOOD if name not in plain]
        values = [Covering()([(*plain, name)])[0].mean_iou for name in left]
        plain = (*plain, left[int(np.argmax(values))])
    assert path[-1].found.mean_iou == pytest.approx(Covering()([plain])[0].mean_iou)
    third = [names for names in score.tried if len(names) == 3]
    assert len(third) < len(GOOD) - 2


def test_no_more_than_asked_and_than_there_are():
    score = Covering()
    singles = alone(score)
    assert len(forward_selection(singles, score, 1)) == 1
    assert len(forward_selection(singles, score, 2)) == 2
    assert len(forward_selection(singles, score, 9)) == len(GOOD)


def steps(*scores):
    names = itertools.accumulate("abcdef", lambda some, name: some + name)
    return [Step(tuple(some), found) for some, found in zip(names, scores, strict=False)]


def test_the_smallest_set_that_is_as_good_within_chance():
    unsure = (0.08, -0.08, 0.04, -0.04)
    none = (0.0, 0.0, 0.0, 0.0)
    # the second is .02 behind the third, of which nobody is sure
    path = steps(estimate(0.3, none), estimate(0.5, none), estimate(0.52, unsure))
    assert path[2].found.difference_error(path[1].found) > 0.02
    assert len(smallest_within_error(path).names) == 2
    sure = steps(estimate(0.3, none), estimate(0.5, none), estimate(0.52, none))
    assert len(smallest_within_error(sure).names) == 3


def test_one_step_is_its_own_best():
    path = steps(estimate(0.4))
    assert smallest_within_error(path) is path[0]


def test_a_gain_that_is_sure_but_small_is_not_worth_a_layer():
    path = steps(estimate(0.5), estimate(0.508))
    assert path[1].found.difference_error(path[0].found) < 1e-9
    assert smallest_within_error(path) is path[0]


def test_a_part_that_lost_its_worth_does_not_hide_the_one_after_it():
    """ "same" gains as much as "first" beside "a", and nothing beside both."""
    things = {"a": {0, 1, 2}, "first": {3}, "same": {3}, "other": {4}}

    def score(sets):
        return [estimate(0.1 + 0.15 * len(set().union(*map(things.get, n)))) for n in sets]

    singles = [Step((name,), score([(name,)])[0]) for name in things]
    path = forward_selection(singles, score, 3)
    assert path[-1].names == ("a", "first", "other")
