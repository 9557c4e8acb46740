"""A linear probe: how well some layers separate the classes, cross-validated by image.

Each layer's channels are standardised and turned into their leading principal components, at most
32, each scaled to a deviation of 1; a multinomial logistic regression (scikit-learn's) predicts
the classes. All of it is fitted on the training folds only. So layers of 100 and of 1000
channels get the same number of weights, and a fit is fast: whitened components need few iterations.
The loss weights rare classes as `dseg fit` does.

Layers that are no activations (colour and position, filters) also get products of their leading
components: classes are not linearly separable by position, but the ensemble, which is not linear,
uses positions well. Without products the probe would find them useless (docs/design.md).
"""

import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..ensemble.class_balance import class_weights
from ..ensemble.recipes import Recipe
from .estimates import IouEstimate, weighted_counts

__all__ = ["LinearProbe", "PixelTable", "bytes_per_pixel", "seconds_per_fit"]

Vectors = NDArray[np.float32]

_MAX_COMPONENTS = 32  # of a layer, at most
_MULTIPLIED_COMPONENTS = 6  # of a raw layer's components, each with each
_N_PRODUCTS = _MULTIPLIED_COMPONENTS * (_MULTIPLIED_COMPONENTS + 1) // 2
_PRODUCT_LIMIT = 5.0  # deviations of a product
_MAX_COMPONENTS_OF_SET = 512  # of all layers of a set together
_MAX_FITTED_PIXELS = 4096  # pixels, at most, that components are found from
_FLOOR = 0.1  # of a channel's deviation, as a share of its layer's, as in `scaling`
_MIN_DEVIATION = 0.01  # of a component's deviation, as a share of the first one's
_INVERSE_REGULARISATION = 0.03  # scikit-learn's C
_ITERATIONS, _TOLERANCE = 100, 1e-3


def bytes_per_pixel(dims: int, folds: int, layers: int, workers: int) -> int:
    """Return what a probe takes for each sampled pixel.

    Its vector in float16; the components of the layers that a set has already, in float16 and for
    each fold; and of each fit two tables of the widest set.

    Parameters
    ----------
    dims : int
        D.
    folds : int
    layers : int
        Layers of the largest set that others are added to.
    workers : int
        Fits at once.
    """
    n_kept = 2 * folds * (_MAX_COMPONENTS + _N_PRODUCTS) * layers
    return 2 * dims + n_kept + 2 * 4 * (_MAX_COMPONENTS_OF_SET + 2 * _N_PRODUCTS) * workers


@dataclass(frozen=True)
class PixelTable:
    """Features and classes of sampled pixels.

    Parameters
    ----------
    layers : mapping of arrays of shape (n, C), float16
        By the layer's name.
    y : array of shape (n,), integer
    weight : array of shape (n,), float64
        How many pixels each represents.
    image : array of shape (n,), integer
        The index of each one's image, 0 to ``n_images - 1``.
    n_images, n_classes : int
    raw : frozenset of str
        The layers that no network made.
    """

    layers: Mapping[str, NDArray[np.float16]]
    y: NDArray[np.integer]
    weight: NDArray[np.float64]
    image: NDArray[np.integer]
    n_images: int
    n_classes: int
    raw: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Components:
    """``z = xᵀ matrix - shift``: whitened principal components of a layer, the leading first."""

    matrix: Vectors
    shift: Vectors

    @classmethod
    def of(cls, features: NDArray[np.float16]) -> "_Components":
        """Find them from a sample (n, C)."""
        stride = max(1, -(-len(features) // _MAX_FITTED_PIXELS))
        x = features[::stride].astype(np.float64)
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        tiny = float(np.finfo(np.float32).tiny)
        deviation = np.maximum(deviation, _FLOOR * np.sqrt((deviation**2).mean()) + tiny)
        x = (x - mean) / deviation
        variance, rotation = np.linalg.eigh(x.T @ x / len(x))  # ascending
        n_kept = min(_MAX_COMPONENTS, len(x), x.shape[1])
        deviations = np.sqrt(np.maximum(variance[::-1][:n_kept], 0))
        rotation = rotation[:, ::-1][:, :n_kept] / np.maximum(
            deviations, _MIN_DEVIATION * deviations[0] + tiny
        )
        # a constant layer has no information, and would divide by 0
        matrix = rotation / deviation[:, None] if deviations[0] > 0 else np.zeros_like(rotation)
        return cls(matrix.astype(np.float32), (mean @ matrix).astype(np.float32))

    def __call__(self, features: NDArray[np.float16]) -> Vectors:
        """Return the components of pixels, (n, C) -> (n, k)."""
        found: Vectors = features.astype(np.float32) @ self.matrix
        found -= self.shift
        return found


@dataclass(frozen=True)
class _Products:
    """The leading components of a raw layer, each with each, brought to one scale."""

    components: _Components
    mean: Vectors
    deviation: Vectors

    @classmethod
    def of(cls, features: NDArray[np.float16]) -> "_Products":
        """Find them from a sample (n, C)."""
        components = _Components.of(features)
        products = _products(components(features))
        return cls(components, products.mean(axis=0), products.std(axis=0) + np.float32(1e-6))

    def __call__(self, features: NDArray[np.float16]) -> Vectors:
        """Return components and products of pixels, (n, C) -> (n, k)."""
        z = self.components(features)
        products = (_products(z) - self.mean) / self.deviation
        return np.hstack([z, products.clip(-_PRODUCT_LIMIT, _PRODUCT_LIMIT)])


def _products(z: Vectors) -> Vectors:
    one, other = np.triu_indices(min(_MULTIPLIED_COMPONENTS, z.shape[1]))
    return z[:, one] * z[:, other]


class LinearProbe:
    """Scores sets of layers on held-out images.

    Parameters
    ----------
    table : PixelTable
    folds : sequence of sequences of int
        The images of each fold, by their indices.
    workers : int
        Fits at once.
    """

    def __init__(self, table: PixelTable, folds: Sequence[Sequence[int]], workers: int = 1) -> None:
        self.table, self.workers = table, workers
        self._folds = [np.sort(fold) for fold in folds]
        self._held_out = [np.isin(table.image, fold) for fold in self._folds]
        self._components: dict[tuple[int, str], _Components | _Products] = {}
        self._cached: dict[tuple[int, str], NDArray[np.float16]] = {}
        self._lock = Lock()

    def cache(self, names: Sequence[str]) -> None:
        """Keep the components of some layers in memory, for the larger sets that contain them."""
        wanted = {(fold, name) for fold in range(len(self._folds)) for name in names}
        self._cached = {
            key: self._cached[key]
            if key in self._cached
            else self._transformed(*key).astype(np.float16)
            for key in sorted(wanted)
        }

    def score(
        self, sets: Sequence[Sequence[str]], advance: Callable[[int], None] = lambda n: None
    ) -> list[IouEstimate]:
        """Return how well each of some sets of layers separates the classes of held-out images.

        Parameters
        ----------
        sets : sequence of sequences of str
            Names of layers.
        advance : callable
            Called with 1 for each set and fold.
        """
        from threadpoolctl import threadpool_limits  # comes with scikit-learn

        table = self.table
        shape = (table.n_images, table.n_classes, table.n_classes)
        counts = [np.zeros(shape) for _ in sets]
        jobs = [(number, fold) for number in range(len(sets)) for fold in range(len(self._folds))]

        def count(job: tuple[int, int]) -> None:
            number, fold = job
            counts[number][self._folds[fold]] = self._fold(sets[number], fold)
            advance(1)

        # one BLAS thread each: many small fits in parallel are faster than each with many threads
        with threadpool_limits(1), ThreadPoolExecutor(self.workers, "dseg-probe") as pool:
            deque(pool.map(count, jobs), maxlen=0)
        return [IouEstimate(one) for one in counts]

    def _fold(self, names: Sequence[str], fold: int) -> NDArray[np.float64]:
        """Return the counts of the images of one fold, in the fold's order."""
        table, held_out, images = self.table, self._held_out[fold], self._folds[fold]
        if not held_out.any():  # no pixel of them is labelled
            return np.zeros((len(images), table.n_classes, table.n_classes))
        x = np.hstack([self._layer(fold, name, len(names)) for name in names])
        model = _fit_regression(x[~held_out], table.y[~held_out], table.weight[~held_out])
        return weighted_counts(
            table.y[held_out],
            model.predict(x[held_out]),
            table.weight[held_out],
            np.searchsorted(images, table.image[held_out]),
            (len(images), table.n_classes),
        )

    def _layer(self, fold: int, name: str, layers: int) -> Vectors:
        """Return the components of one of several layers; the more layers, the fewer of each."""
        max_columns = None if name in self.table.raw else max(1, _MAX_COMPONENTS_OF_SET // layers)
        cached = self._cached.get((fold, name))
        found = self._transformed(fold, name) if cached is None else cached.astype(np.float32)
        return found[:, :max_columns]

    def _transformed(self, fold: int, name: str) -> Vectors:
        features = self.table.layers[name]
        with self._lock:
            found = self._components.get((fold, name))
        if found is None:
            kind = _Products if name in self.table.raw else _Components
            found = kind.of(features[~self._held_out[fold]])
            with self._lock:
                self._components[fold, name] = found
        return found(features)


def _fit_regression(x: Vectors, y: NDArray[np.integer], weight: NDArray[np.float64]) -> Any:
    """Fit the regression; a pixel counts as the ensemble's loss has it."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    counts = np.bincount(y, weights=weight)
    balance = class_weights(torch.from_numpy(counts), Recipe.default(1).balance)
    weight = weight * balance.numpy()[y]
    model = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=_ITERATIONS, tol=_TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # accurate enough for a ranking
        model.fit(x, y, sample_weight=weight / weight.mean())
    return model


def seconds_per_fit(pixels: int, n_classes: int, layers: int) -> float:
    """Measure a fit of drawn numbers as large as one of so many layers."""
    generator = np.random.default_rng(0)
    y = np.arange(pixels) % n_classes
    shape = (n_classes, layers * _MAX_COMPONENTS)
    x = (generator.normal(0, 0.2, shape)[y] + generator.normal(0, 1, (pixels, shape[1]))).astype(
        np.float32
    )
    start = time.perf_counter()
    _fit_regression(x, y, np.ones(pixels))
    return time.perf_counter() - start
