"""How a student is trained: the numbers, and the learning rate over a run."""

from dataclasses import dataclass

from ...pretrain.train.recipe import share_of_rate

__all__ = ["Recipe", "learning_rate", "paper_recipe"]

_WARMUP_AT_MOST = 0.1  # of a run


@dataclass(frozen=True)
class Recipe:
    """What of a run does not change where it ends.

    Parameters
    ----------
    name : {"default", "paper"}
    batch_size : int
        Images a step.
    learning_rate : float
        Its highest value.
    trained_factor : float
        By what the rate of those parts of a network is lower that have trained weights already.
    warmup : int
        Steps over which the rate rises from 0; less in a run that they would be a tenth of.
    cooling : float
        Last share of a run in which it falls to 0.
    weight_decay : float
        Of AdamW; 0 is Adam.
    clip : float
        Largest norm of the gradient.
    ema_decay : float
        Largest decay of the averaged weights, which are those that are kept; 0: no average.
    labelled_share : float
        Of images a step that are labelled ones; 0: they are held out.
    seed : int
        Of weights, order, variations.
    """

    name: str = "default"
    batch_size: int = 8
    learning_rate: float = 3e-3
    trained_factor: float = 0.3
    warmup: int = 30
    cooling: float = 0.5
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_decay: float = 0.99
    labelled_share: float = 0.25
    seed: int = 0


def paper_recipe(seed: int) -> Recipe:
    """Return the published recipe: Adam at a constant rate; labelled images choose the epoch.

    References
    ----------
    Baranchuk et al., "Label-Efficient Semantic Segmentation with Diffusion Models", ICLR 2022, and
    Zhang et al., "DatasetGAN", CVPR 2021: the network trained on generated pairs.
    """
    return Recipe(
        name="paper",
        batch_size=8,
        learning_rate=1e-3,
        trained_factor=1.0,
        warmup=0,
        cooling=0.0,
        weight_decay=0.0,
        clip=float("inf"),
        ema_decay=0.0,
        labelled_share=0.0,
        seed=seed,
    )


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate of a step, from 0, at a share of the run: see `share_of_rate`."""
    share = share_of_rate(step, progress, recipe.warmup, recipe.cooling, _WARMUP_AT_MOST)
    return recipe.learning_rate * share
