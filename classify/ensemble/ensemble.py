"""`PixelEnsemble`: the ensemble of MLPs as a scikit-learn classifier.

Input is feature vectors, one a pixel; the members are trained and run together (`MemberStack`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ...store.errors import InputError
from ...store.sampling.reduction import Reduction
from ...store.spec import FeatureSpec
from ..labels.classes import Classes, named_classes
from ..labels.label_maps import check_trainable
from .array_batches import ArraySampler
from .fitting import initial_stack, scores_in_chunks, seed_of, train_stack
from .members import MemberStack, hidden_widths
from .model_files import PARAMETERS, SavedModel, read_model, read_published, write_model
from .parameters import check_batches, check_parameters, check_partial_labels
from .recipes import Recipe
from .training import Progress, Sampler, Trainer, TrainingLog
from .uncertainty import jensen_shannon
from .voting import class_shares

__all__ = ["PixelEnsemble"]


class PixelEnsemble(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Several small MLPs that classify pixels by their feature vectors, and vote.

    Parameters
    ----------
    n_members : int, default=10
        Number of MLPs; they differ in their initial weights and the order of their batches.
    hidden_layer_sizes : sequence of two int, default=None
        None: as published, (128, 32), or (256, 128) from 30 classes on.
    voting : {"majority", "mean"}, default="majority"
        "majority": each member votes for its highest score, the lowest class wins a tie, and
        `predict_proba` is the share of votes. "mean": the mean of the members' softmax decides.
    recipe : {"default", "paper"}, default="default"
        "default": ``max_steps`` batches of standardised features with a learning rate that falls
        to 0; pixels of rare classes count more. "paper": as published, at most 100 epochs at a
        constant rate; a member stops early by its own losses.
    max_steps : int, default=2000
        Length of the default recipe; recipe "paper" has its own.
    batch_size : int, default=64
        Pixels a batch and member; where there are fewer pixels, one batch of all.
    learning_rate : float, default=None
        None: the recipe's, 3e-3 or 1e-3.
    balance : float, default=None
        How much more the pixels of rare classes count: 0, each pixel alike, to 1, each class alike.
        None: the recipe's, 0.3 or 0. `partial_fit`, which does not see all pixels, takes 0.
    random_state : int, RandomState instance or None, default=0
        Decides initial weights and order of batches.
    device : str or torch.device, default="cpu"

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The class labels.
    n_features_in_ : int
        D, the length of a feature vector.
    stack_ : MemberStack
        The networks.
    class_info_ : Classes
        Names and colours of the classes.
    spec_ : FeatureSpec or None
        Which features it was trained on, where that is known.
    log_ : TrainingLog or None
        How training went; None where it was not trained by `fit` or `fit_batches`.
    extra_ : dict
        Whatever else was saved with it; plain JSON values.

    References
    ----------
    Baranchuk et al., "Label-Efficient Semantic Segmentation with Diffusion Models", ICLR 2022.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    >>> y = np.where(X[:, 0] > 0, "sky", "sea")
    >>> ensemble = PixelEnsemble(n_members=3, max_steps=100).fit(X, y)
    >>> ensemble.predict(X[:3]) == y[:3]
    array([ True,  True,  True])
    """

    def __init__(
        self,
        n_members: int = 10,
        hidden_layer_sizes: tuple[int, int] | None = None,
        voting: Literal["majority", "mean"] = "majority",
        recipe: Literal["default", "paper"] = "default",
        max_steps: int = 2000,
        batch_size: int = 64,
        learning_rate: float | None = None,
        balance: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        self.n_members = n_members
        self.hidden_layer_sizes = hidden_layer_sizes
        self.voting = voting
        self.recipe = recipe
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.balance = balance
        self.random_state = random_state
        self.device = device

    # For `partial_fit`: optimiser state and number of epochs continue from call to call.
    _trainer: Trainer | None = None
    _epochs: int = 0

    stack_: MemberStack

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on feature vectors in memory.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels of any kind.

        Returns
        -------
        self
        """
        check_parameters(self.get_params())
        features, labels = self._validated(X, y)
        classes, encoded = np.unique(labels, return_inverse=True)
        seed = self._seed()
        sampler = self._sampler(features, seed)
        return self._fit(sampler, encoded, classes, named_classes([str(c) for c in classes]), seed)

    def fit_batches(
        self,
        sampler: Sampler,
        y: ArrayLike,
        *,
        classes: Classes | None = None,
        spec: FeatureSpec | None = None,
        reduction: Reduction | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Train on batches that a sampler draws, so that the features need not fit in memory.

        Parameters
        ----------
        sampler : Sampler
            Of ``n_members`` members; its own batch size counts.
        y : array-like of shape (sampler.n,)
            Class ids of the sampler's pixels.
        classes : Classes, optional
            All classes, also those that no pixel has: class ids stay what they are. None: 0 to the
            highest in ``y``.
        spec : FeatureSpec, optional
            Which features these are; saved with the model.
        reduction : Reduction, optional
            The sampler's: batches have its ``spec``, the trained ensemble takes all channels.
        progress : callable, optional
            Called with steps done, steps at most, and each member's last loss.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If parameters, labels and sampler do not fit each other, or there are no two classes.
        """
        check_parameters(self.get_params())
        ids = np.asarray(y)
        classes = check_batches(sampler, ids, self.n_members, classes)
        self.n_features_in_ = sampler.dims if reduction is None else reduction.full.dims
        known = np.arange(len(classes))
        self._fit(sampler, ids, known, classes, self._seed(), spec, progress, reduction)
        return self

    def _fit(
        self,
        sampler: Sampler,
        encoded: NDArray[np.integer],
        labels: NDArray[Any],
        classes: Classes,
        seed: int,
        spec: FeatureSpec | None = None,
        progress: Progress | None = None,
        reduction: Reduction | None = None,
    ) -> Self:
        check_trainable(np.bincount(encoded, minlength=len(classes)), classes.names)
        self.classes_, self.class_info_, self.spec_ = labels, classes, spec
        self.extra_: dict[str, Any] = {}
        self._start(sampler.dims, seed)
        self.stack_, log = train_stack(
            self.stack_, sampler, encoded, self._recipe(), spec, reduction, progress
        )
        self.log_: TrainingLog | None = log
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Train one epoch on more feature vectors, at a constant learning rate.

        Features are not standardised, because later calls may have another scale: bring channels to
        a standard deviation of about 1 first.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,)
            All classes that any call may bring; needed on the first call only.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If ``classes`` is missing on the first call or changes, or ``y`` has others.
        """
        check_parameters(self.get_params())
        first = not hasattr(self, "classes_")
        features, labels = self._validated(X, y, reset=first)
        if first:
            self._start_partial(classes, features.shape[1])
        check_partial_labels(labels, self.classes_, None if first else classes)
        self._train_epoch(features, np.searchsorted(self.classes_, labels))
        return self

    def _validated(
        self, X: ArrayLike, y: ArrayLike, *, reset: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        features, labels = validate_data(self, X, y, dtype=np.float32, reset=reset)
        check_classification_targets(labels)
        return features, labels

    def _start_partial(self, classes: ArrayLike | None, dims: int) -> None:
        if classes is None:
            raise InputError("classes must be passed on the first call to partial_fit")
        self.classes_ = np.unique(classes)
        self.class_info_ = named_classes([str(c) for c in self.classes_])
        self.spec_, self.log_, self.extra_ = None, None, {}
        self._start(dims, self._seed())

    def _train_epoch(self, features: NDArray[np.float32], encoded: NDArray[np.integer]) -> None:
        trainer = self._trainer or Trainer(self.stack_, self._recipe().learning_rate)
        self._trainer = trainer
        for batch in self._sampler(features, self._seed()).epoch(self._epochs):
            labels = torch.from_numpy(encoded[batch.index].astype(np.int64)).to(self.device)
            trainer.step(batch.features.to(self.device), labels)
        self._epochs += 1
        trainer.publish()
        self.stack_.eval()

    def _start(self, features: int, seed: int) -> None:
        """Make the networks with their initial weights."""
        self._trainer, self._epochs = None, 0
        n_classes = len(self.classes_)
        hidden = self.hidden_layer_sizes or hidden_widths(n_classes)
        stack = initial_stack(self.n_members, features, hidden, n_classes, seed)
        self.stack_ = stack.to(self.device)

    def _seed(self) -> int:
        return seed_of(self.random_state)

    def _sampler(self, features: NDArray[np.float32], seed: int) -> ArraySampler:
        return ArraySampler(features, members=self.n_members, batch_size=self.batch_size, seed=seed)

    def _recipe(self) -> Recipe:
        recipe = Recipe.paper() if self.recipe == "paper" else Recipe.default(self.max_steps)
        return recipe.with_options(self.batch_size, self.learning_rate, self.balance)

    def logits(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return each member's scores before the softmax.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_members, n_samples, n_classes), float32
        """
        chunks = [scores.cpu().numpy() for scores in self._scores(X)]
        return np.concatenate(chunks, axis=1)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of each sample, by the vote.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,), of the classes' dtype
        """
        winners = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[winners])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the share of votes or the mean softmax of each class, see ``voting``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_classes), float32
            Rows sum to 1; the first highest entry is what `predict` returns.
        """
        chunks = [class_shares(s, self.voting).cpu().numpy() for s in self._scores(X)]
        return np.concatenate(chunks)

    def uncertainty(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return how much the members disagree at each sample, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,), float32
            The Jensen-Shannon divergence of the members' softmax, see `jensen_shannon`.

        Raises
        ------
        InputError
            If the ensemble has one member only.
        """
        chunks = [jensen_shannon(s.softmax(dim=-1).cpu().numpy()) for s in self._scores(X)]
        return np.concatenate(chunks)

    def _scores(self, X: ArrayLike) -> Iterator[torch.Tensor]:
        """Return an iterator over scores of shape (members, chunk, classes)."""
        check_is_fitted(self)
        features: NDArray[np.float32] = validate_data(self, X, dtype=np.float32, reset=False)
        return scores_in_chunks(self.stack_.eval(), features)

    def save(
        self, folder: str | Path, *, extra: dict[str, Any] | None = None, overwrite: bool = False
    ) -> None:
        """Write the fitted ensemble to a folder, whole or not at all.

        Parameters
        ----------
        folder : path
            Made, with its parents.
        extra : dict, optional
            Plain JSON values to keep with the model, besides its ``extra_``.
        overwrite : bool
            Replace an existing model; anything else is never replaced.

        Raises
        ------
        InputError
            If the folder exists and may not be replaced, or ``extra`` is no JSON.
        """
        parameters = {name: getattr(self, name) for name in PARAMETERS}
        all_extra = {**self.extra_, **(extra or {})}
        parts = (self.stack_, self.classes_, self.class_info_, self.spec_, self.log_, all_extra)
        write_model(SavedModel(parameters, *parts), folder, overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Read an ensemble that `save` wrote: see `read_model`."""
        return cls._of(read_model(folder), device)

    @classmethod
    def from_published(cls, folder: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Read an ensemble as the published code wrote it: see `read_published`."""
        return cls._of(read_published(folder), device)

    @classmethod
    def _of(cls, saved: SavedModel, device: str | torch.device) -> Self:
        """Return a fitted ensemble."""
        ensemble = cls(**saved.parameters, device=device)
        ensemble.stack_ = saved.stack.to(device).eval()
        ensemble.n_features_in_ = saved.stack.widths[0]
        ensemble.classes_, ensemble.class_info_ = saved.labels, saved.classes
        ensemble.spec_, ensemble.log_, ensemble.extra_ = saved.spec, saved.log, dict(saved.extra)
        return ensemble

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "stack_")
