"""Steps of `PixelEnsemble` on tensors: seed, first weights, training, scores in chunks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ...store.sampling.reduction import Reduction
from ...store.spec import FeatureSpec
from .members import MemberStack
from .recipes import Recipe
from .reduction import expand
from .training import Progress, Sampler, TrainingLog, train

__all__ = ["initial_stack", "scores_in_chunks", "seed_of", "train_stack"]

CHUNK_BYTES = 2**25
"""Of the largest intermediate when many pixels are predicted: a chunk fits about in the cache."""


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Return the seed that scikit-learn's ``random_state`` stands for.

    An integer is the seed itself, so that it can be saved with the model and used again; of a
    generator, or of numpy's own (None), a number is drawn.

    Examples
    --------
    >>> seed_of(7)
    7
    """
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def initial_stack(
    n_members: int, dims: int, hidden: Sequence[int], n_classes: int, seed: int
) -> MemberStack:
    """Return networks with their initial weights; those of member m depend on (seed, m) only."""
    stack = MemberStack(n_members, dims, hidden, n_classes)
    seeds = [np.random.SeedSequence([seed, m]) for m in range(n_members)]
    stack.initialise([torch.Generator().manual_seed(int(s.generate_state(1)[0])) for s in seeds])
    return stack


def train_stack(
    stack: MemberStack,
    sampler: Sampler,
    encoded: NDArray[np.integer],
    recipe: Recipe,
    spec: FeatureSpec | None = None,
    reduction: Reduction | None = None,
    progress: Progress | None = None,
) -> tuple[MemberStack, TrainingLog]:
    """Train networks; return those that take all channels, and how training went.

    Parameters
    ----------
    stack : MemberStack
        Initialised, for vectors of ``sampler.dims`` channels.
    sampler : Sampler
    encoded : array of shape (sampler.n,), integer
        The class of each pixel, 0 to C - 1.
    recipe : Recipe
    spec : FeatureSpec, optional
        The features as stored: tells which channels are one layer, for a recipe that standardises.
    reduction : Reduction, optional
        The sampler's.
    progress : callable, optional
    """
    if reduction is not None:
        # Reduced features are standardised already. Doing it again, channel by channel, would give
        # the smallest component as much variance as the largest.
        recipe = replace(recipe, standardise=False)
    layers = None if spec is None else [layer.channels for layer in spec.layers]
    log = train(stack, sampler, encoded, recipe, progress, layers)
    return (stack if reduction is None else expand(stack, reduction)), log


def scores_in_chunks(stack: MemberStack, features: NDArray[np.float32]) -> Iterator[torch.Tensor]:
    """Yield the scores of many vectors, chunk by chunk: (M, chunk, C).

    Parameters
    ----------
    stack : MemberStack
        In evaluation mode.
    features : array of shape (n, D), float32
    """
    widest = stack.members * max(stack.widths[1:])
    n_vectors = max(1, CHUNK_BYTES // (4 * (widest + stack.widths[0])))
    device = stack.weights[0].device
    for start in range(0, len(features), n_vectors):
        with torch.inference_mode():  # not around the yield: it would apply to the caller's code
            # a copy, because torch warns about read-only arrays
            chunk = torch.from_numpy(features[start : start + n_vectors].copy()).to(device)
            scores = stack(chunk)
        yield scores
