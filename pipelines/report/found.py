"""What is found in the held-out images, in two passes with one image in memory at a time."""

import math
from dataclasses import dataclass

from ...classify.evaluation.intervals import Interval
from ...store.errors import InputError
from ..console.progress import Progress
from .findings.held_out import HeldOutMasks
from .findings.scores import ImageScore, Scores
from .findings.suspects import Suspect, choose_suspects, suspects_in
from .inputs import Inputs
from .page.examples import example, suspect
from .page.markup import Html

__all__ = ["Drawn", "Found", "draw", "find"]

_SHOWN = 3  # best images, and worst ones


@dataclass(frozen=True)
class Found:
    """What held-out images say.

    Parameters
    ----------
    scores : Scores
    interval : Interval
        Of the mIoU.
    by_class : list of Interval or None
    suspects : list of Suspect
    best, worst : list of ImageScore
    """

    scores: Scores
    interval: Interval
    by_class: list[Interval | None]
    suspects: list[Suspect]
    best: list[ImageScore]
    worst: list[ImageScore]


@dataclass(frozen=True)
class Drawn:
    """The pictures of held-out images, as HTML.

    Parameters
    ----------
    examples : dict
        Of the best and worst images, by stem.
    suspects : list of Html
        In their order.
    """

    examples: dict[str, Html]
    suspects: list[Html]


def find(inputs: Inputs, masks: HeldOutMasks, progress: Progress) -> Found:
    """Score the held-out images, and look for suspicious labels.

    Raises
    ------
    InputError
        If a file is damaged or does not fit the others.
    """
    seed, suspects = masks.facts.seed, list[Suspect]()
    scores = Scores(masks.facts.classes, inputs.ignore, inputs.members)
    with progress.bar("report", 2 * len(masks), "images") as advance:
        for seen in masks:
            scores.add(seen)
            advance(1)
        for seen in masks:
            suspects += suspects_in(seen, scores)
            advance(1)
    if not scores.pairs.any():
        raise InputError("no pixel of the label maps of the held-out images has a class")
    ranked = [one for one in scores.images if not math.isnan(one.mean_iou)]
    ranked.sort(key=lambda one: (one.mean_iou, one.stem))
    worst = ranked[: min(_SHOWN, (len(ranked) + 1) // 2)]
    best = ranked[len(worst) :][::-1][:_SHOWN]
    return Found(
        scores,
        *scores.intervals(seed),
        choose_suspects(suspects),
        best,
        worst,
    )


def draw(inputs: Inputs, masks: HeldOutMasks, found: Found) -> Drawn:
    """Draw what is shown of the held-out images; each is read once."""
    shown = {one.stem: one for one in (*found.best, *found.worst)}
    examples, suspects = dict[str, Html](), dict[Suspect, Html]()
    for stem in dict.fromkeys((*shown, *(one.stem for one in found.suspects))):
        seen = masks.read(stem)
        image = inputs.pictures.image(seen.name, seen.sha256, seen.label.shape)
        common = (seen, image, inputs.pictures, inputs.look)
        if stem in shown:
            examples[stem] = example(shown[stem], *common, inputs.ignore)
        for one in found.suspects:
            if one.stem == stem:
                suspects[one] = suspect(one, *common, found.scores)
    return Drawn(examples, [suspects[one] for one in found.suspects])
