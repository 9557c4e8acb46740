"""Which features a fit learns from: all channels of the store, or their principal components."""

from dataclasses import dataclass
from typing import Self

from ...classify.ensemble.reduction import ReductionPlan, default_dims, fit_reduction
from ...store.errors import InputError
from ...store.read.protocol import Features
from ...store.sampling.dask_tasks import TaskRunner
from ...store.sampling.pixel_set import PixelSet
from ...store.sampling.reduction import Reduction
from ...store.sampling.sampler import sample_vectors
from ...store.spec import FeatureSpec
from ..console.progress import Advance

__all__ = ["TrainingFeatures", "find_reduction"]


@dataclass(frozen=True)
class TrainingFeatures:
    """The features that are trained on.

    Parameters
    ----------
    stored : FeatureSpec
        As they are in the store.
    spec : FeatureSpec
        As they are learnt from.
    kept : ReductionPlan or None
        How the one becomes the other; None if they are the same.
    """

    stored: FeatureSpec
    spec: FeatureSpec
    kept: ReductionPlan | None = None

    @classmethod
    def of(cls, stored: FeatureSpec, reduce: int | None, recipe: str, pixels: int) -> Self:
        """Return what ``--reduce`` and ``--recipe`` ask for.

        Parameters
        ----------
        stored : FeatureSpec
        reduce : int or None
            So many channels; 0: all. None: as `default_dims` says, by the published recipe all.
        recipe : {"default", "paper"}
        pixels : int
            How many are labelled.

        Raises
        ------
        InputError
            If so many cannot be had, or the published recipe is to be changed.
        """
        if recipe == "paper":
            if reduce:
                raise InputError(
                    "--reduce is not part of the published recipe: leave out one of the two"
                )
            return cls(stored, stored)
        dims = default_dims(stored.dims) if reduce is None else reduce
        if dims in (0, stored.dims):
            return cls(stored, stored)
        kept = ReductionPlan.of(stored, dims, pixels)
        return cls(stored, kept.spec(stored), kept)

    @property
    def sample_bytes(self) -> int:
        """What the search for the reduction takes."""
        return 0 if self.kept is None else self.kept.sample_bytes(self.stored)

    def __str__(self) -> str:
        if self.kept is None:
            return f"{self.stored.dims} channels"
        return f"{self.stored.dims} channels reduced to {self.spec.dims}"


def find_reduction(
    store: Features,
    pixels: PixelSet,
    kept: ReductionPlan,
    seed: int,
    runner: TaskRunner,
    advance: Advance | None = None,
) -> Reduction:
    """Find the principal components by a sample of the labelled pixels.

    Parameters
    ----------
    store : Features
    pixels : PixelSet
    kept : ReductionPlan
    seed : int
        Of the sample.
    runner : TaskRunner
    advance : callable, optional
        Called with 1 for each row and map size read.
    """
    sample = sample_vectors(store, pixels, kept.pixels, seed, runner, advance)
    return fit_reduction(sample, store.spec, kept)
