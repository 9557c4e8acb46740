"""How a diffusion model is trained: the numbers, and the learning rate over a run."""

from dataclasses import dataclass

__all__ = ["Recipe", "learning_rate"]

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


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate of a step: warm-up, a plateau, then down to 0.

    Parameters
    ----------
    recipe : Recipe
    step : int
        From 0.
    progress : float
        Share of the run that is done, by steps or by time, in [0, 1].

    Examples
    --------
    >>> recipe = Recipe(learning_rate=1.0, warmup=10)
    >>> [round(learning_rate(recipe, s, s / 100), 2) for s in (0, 9, 50, 85, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rising = min(1.0, (step + 1) / max(recipe.warmup, 1))
    falling = min(1.0, max(0.0, (1 - progress) / _COOLING))
    return recipe.learning_rate * rising * falling
