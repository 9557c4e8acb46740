"""How a diffusion model is trained: the numbers, and the learning rate over a run."""

import math
from dataclasses import dataclass

__all__ = ["Recipe", "learning_rate", "share_of_rate"]

_COOLING = 0.3  # last part of a run, in which the learning rate falls to 0


@dataclass(frozen=True)
class Recipe:
    """What of a run does not change where it ends.

    Parameters
    ----------
    batch_size : int
        Images a step, over all processes.
    learning_rate : float
        Its highest value.
    warmup : int
        Steps over which it rises from 0.
    ema_decay : float
        Largest decay of the averaged weights, which are those that are kept.
    clip : float
        Largest norm of the gradient.
    weight_decay : float
    seed : int
        Of weights, order, noise.
    """

    batch_size: int = 16
    learning_rate: float = 5e-4
    warmup: int = 100
    ema_decay: float = 0.9999
    clip: float = 1.0
    weight_decay: float = 0.01
    seed: int = 0


def share_of_rate(
    step: int, progress: float, warmup: int, cooling: float, warmup_at_most: float = math.inf
) -> float:
    """Return which share of its highest value a learning rate has: warm-up, a plateau, down to 0.

    Parameters
    ----------
    step : int
        From 0.
    progress : float
        Share of the run that is done, by steps or by time, in [0, 1].
    warmup : int
        Steps over which it rises from 0.
    cooling : float
        Last share of a run in which it falls to 0.
    warmup_at_most : float
        Share of a run after which it has risen in any case.

    Examples
    --------
    >>> [round(share_of_rate(s, s / 200, 10, 0.5), 2) for s in (0, 9, 100, 150, 200)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rising = min(1.0, max((step + 1) / max(warmup, 1), progress / warmup_at_most))
    falling = min(1.0, max(0.0, 1 - progress) / cooling) if cooling else 1.0
    return rising * falling


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate of a step, from 0, at a share of the run: see `share_of_rate`."""
    return recipe.learning_rate * share_of_rate(step, progress, recipe.warmup, _COOLING)
