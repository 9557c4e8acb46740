"""Which images a curve trains and scores on: random draws, and how many images of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...classify.labels.folds import image_folds
from ...store.errors import InputError
from ..inputs.image_list import named
from ..inputs.labelled_pixels import Labelled

__all__ = ["Draw", "chosen_counts", "make_draws"]

_PARTS = 5
_SEEDS = 2**63  # what PyTorch and NumPy both take


@dataclass(frozen=True)
class Draw:
    """Images in the order in which one draw learns from more and more of them.

    Parameters
    ----------
    number : int
    seed : int
        Of its trainings.
    order : tuple of str
        Stems; n images are the first n, so that each step adds images and takes none away.
    held_out : tuple of str
        Stems that all its trainings are scored on.
    """

    number: int
    seed: int
    order: tuple[str, ...]
    held_out: tuple[str, ...]


def make_draws(
    labelled: Labelled, number: int, seed: int, test: Sequence[str] | None
) -> tuple[Draw, ...]:
    """Draw images; a draw depends on the seed and its number, not on how many draws there are.

    Parameters
    ----------
    labelled : Labelled
    number : int
        Of draws.
    seed : int
    test : sequence of str, optional
        Stems to score on, in every draw. By default each draw holds out another fifth of the
        images (of fewer than ten images, two), dealt as `image_folds` deals: five draws score each
        image once.

    Raises
    ------
    InputError
        If too few images are left to learn from, or none of those held out has a labelled pixel.
    """
    draws = []
    for d in range(number):
        held = _held_out(labelled, d, seed, test)
        rest = [i for i in range(len(labelled.images)) if i not in held]
        if len(rest) < 2:
            raise InputError(
                f"{len(rest)} labelled images remain for training besides {len(held)} held "
                "out: a curve needs at least two. Label more images"
            )
        if not labelled.facts.of(sorted(held)).ids:
            raise InputError(
                "none of the held-out images "
                f"({named(labelled.images[i] for i in sorted(held))}) has a labelled pixel, "
                "so there is nothing to score: exclude them with --list"
            )
        order = np.random.default_rng([seed, d]).permutation(rest)
        draws.append(
            Draw(
                d,
                (seed + d) % _SEEDS,
                tuple(labelled.images[i] for i in order),
                tuple(labelled.images[i] for i in sorted(held)),
            )
        )
    return tuple(draws)


def _held_out(labelled: Labelled, d: int, seed: int, test: Sequence[str] | None) -> set[int]:
    if test is not None:
        return {i for i, stem in enumerate(labelled.images) if stem in set(test)}
    n = len(labelled.images)
    if n < 4:
        found = "1 labelled image is" if n == 1 else f"{n} labelled images are"
        raise InputError(
            f"{found} too few for a curve: it needs at least four, of which two are held "
            "out. Label more images, or score on other images (--test-list)"
        )
    parts = min(_PARTS, n // 2)
    folds = image_folds(labelled.counts_by_image, parts, (seed + d // parts) % _SEEDS)
    return set(folds[d % parts])


def chosen_counts(
    labelled: Labelled, draws: Sequence[Draw], asked: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the numbers of images to train on, ascending.

    By default all that are not held out, half of them, a quarter …, down to two: so that the last
    step is a doubling. Numbers so small that a draw would have only one class are left out.

    Raises
    ------
    InputError
        If more images are requested than there are, or so few that they have one class only.
    """
    most = min(len(draw.order) for draw in draws)
    least = _fewest_with_two_classes(labelled, draws)
    if asked is None:
        ladder = {most}
        while (half := (min(ladder) + 1) // 2) < min(ladder) and half >= 2:
            ladder.add(half)
        return tuple(sorted(n for n in ladder if n >= least)) or (most,)
    if max(asked) > most or min(asked) < 1:
        raise InputError(
            f"--counts {','.join(map(str, asked))}: only {most} images are available for "
            f"training. Give numbers from 1 to {most}"
        )
    if min(asked) < least:
        raise InputError(
            f"--counts {min(asked)}: in some draw the first {least - 1} images contain only "
            f"one class, so there is nothing to distinguish. Start with {least}"
        )
    return tuple(sorted(set(asked)))


def _fewest_with_two_classes(labelled: Labelled, draws: Sequence[Draw]) -> int:
    """Return the smallest number of images of which every draw contains two classes."""
    number = {stem: i for i, stem in enumerate(labelled.images)}
    least = 1
    for draw in draws:
        counts = labelled.counts_by_image[[number[stem] for stem in draw.order]]
        classes = (counts.cumsum(axis=0) > 0).sum(axis=1)
        if classes[-1] < 2:
            lost = labelled.facts.of([number[stem] for stem in draw.order]).describe_lost()
            raise InputError(
                f"the training images of draw {draw.number + 1} contain only one class: "
                + (lost or "label pixels of another class in more images")
            )
        least = max(least, int((classes >= 2).argmax()) + 1)
    return least
