"""How the memory of a training is shared out."""

from dataclasses import dataclass

from ...classify.ensemble.members import hidden_widths
from ...store.read.protocol import Features
from ...store.sampling.dask_tasks import PIECE_BYTES
from ...store.sampling.residence import minimum_memory
from ..inputs.labelled_pixels import Labelled
from .feature_reduction import TrainingFeatures
from .options import TrainingOptions

__all__ = ["BYTES_PER_PIXEL", "COPIES_OF_CHUNK", "Budget", "budget_for"]

# Float32 weights, gradients, Adam's two moments. Where members stop one by one, those left are
# copied before the old stack goes: at worst weights of all, .9 and .8, and moments 1.8 and 1.6.
_COPIES_OF_PARAMETERS = {"default": 4.0, "paper": 6.2}
# A batch as float32, and as float16 or in work.
_COPIES_OF_BATCH = 2.5
# A chunk as stored, as decoded, and in the array that zarr returns; of uint8, decoded in float32.
COPIES_OF_CHUNK = 3.5
# Class (2 bytes), column (2 bytes), and int64 while classes are counted.
BYTES_PER_PIXEL = 12
# What the first step and the first read bring in (torch's optimisers alone import 70 MB), threads,
# and what malloc keeps.
_FIXED = 125_000_000
# What finding the components brings in: SciPy's linear algebra, by way of scikit-learn.
_REDUCING = 55_000_000


@dataclass(frozen=True)
class Budget:
    """How the memory of a fit is shared out.

    Parameters
    ----------
    memory : int
        Bytes allowed above what the imports take.
    fixed : int
        Bytes of parameters with gradients and moments, batches, labels, and whatever is the same
        for every store.
    reader : int
        Bytes that one reading thread works with.
    readers : int
        Threads that read at once.
    features : int
        Bytes of features without which no training is possible.
    """

    memory: int
    fixed: int
    reader: int
    readers: int
    features: int

    @property
    def free(self) -> int:
        """What is left for features; below 0 if not even the rest fits."""
        return self.memory - self.fixed - self.readers * self.reader

    @property
    def least(self) -> int:
        """The least memory that works: with one reader, and the fewest features held."""
        return self.fixed + self.reader + self.features

    def taken(self, held: int) -> int:
        """Return what is used of the memory where so many bytes of features are held."""
        return self.fixed + self.readers * self.reader + held


def budget_for(
    memory: int,
    readers: int,
    store: Features,
    labelled: Labelled,
    options: TrainingOptions,
    learnt: TrainingFeatures,
) -> Budget:
    """Share out the memory; there are fewer readers than asked for where it is short.

    Parameters
    ----------
    memory : int
        Bytes.
    readers : int
        At most so many.
    store, labelled, options, learnt
        As of `Training`.
    """
    pixels, n_classes = labelled.pixels, len(labelled.classes)
    spec, dims, members = store.spec, learnt.spec.dims, options.members
    batch = min(options.batch_size, pixels.n)
    first, second = hidden_widths(n_classes)
    parameters = dims * first + first * second + second * n_classes + 4 * (first + second)
    training = (
        4 * members * parameters * _COPIES_OF_PARAMETERS[options.recipe]
        + 4 * members * batch * dims * _COPIES_OF_BATCH
    )
    features, fixed = minimum_memory(learnt.spec, pixels.n, len(pixels.rows), batch), _FIXED
    reader = max(COPIES_OF_CHUNK * store.chunk_bytes, store.chunk_bytes + 2 * PIECE_BYTES)
    if learnt.kept is not None:
        fixed += _REDUCING
        # in the end the first layer is made to take all channels, one map size after the other
        training += 2 * 4 * members * spec.dims * first
        # nothing is read while the reduction is sought, and it ends before there are parameters
        features = max(features, int(learnt.sample_bytes - training - reader))
    fixed += int(training) + pixels.n * BYTES_PER_PIXEL
    affordable = int((memory - fixed - features) // (4 * reader))  # reading takes a quarter of it
    return Budget(memory, fixed, int(reader), min(readers, max(1, affordable)), features)
