"""What ``dseg fit`` is asked for, and what it tells of a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...store.urls.location import Location
from ..cluster.client import ClusterOptions
from ..training.options import StoreTraining

__all__ = ["FitConfig", "FitSummary"]


@dataclass(frozen=True)
class FitConfig(StoreTraining):
    """One run of ``dseg fit``; what to train on, and how, is in `StoreTraining`.

    Parameters
    ----------
    out : path
        Folder of the model to be written.
    folds : int, optional
        First cross-validate with so many folds of the images.
    folds_out : path, optional
        Folder of the masks of held-out images.
    cluster : ClusterOptions
        Which processes do the reading.
    self_train : tuple of path
        A store with images that have no labels (several, if the features are joined), to be learnt
        from in a second training; kept only if cross-validation says that it helps.
    self_train_images : int
        At most so many of them.
    """

    out: Path = Path("model")
    folds: int | None = None
    folds_out: Path | None = None
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    self_train: tuple[Location, ...] = ()
    self_train_images: int = 200


@dataclass(frozen=True)
class FitSummary:
    """What a run did, or with ``dry_run`` would do.

    Parameters
    ----------
    model : str
    images, pixels : int
        Labelled images, and N, the labelled pixels to train on.
    classes : dict
        Pixels of each class, by its name.
    labelled : float
        Which part of those images' pixels has a class.
    residence : str
        What of the features was held in memory, see `store.sampling.residence`.
    memory : int
        Bytes allowed.
    steps : int
        Batches a member, at most.
    seconds_a_step : float
        Measured beforehand, without reading.
    training_seconds : float
        Of all steps at that pace; reading comes on top.
    reading_seconds : float, optional
        Of reading and drawing, at the pace of two rows; None unless it is a dry run.
    peak_memory : int
        Bytes that the process has resident at most, interpreter and libraries included (the
        ``memory`` allowed is beside them); what lies in a GPU's memory does not count.
    n_bytes : int
        Of the model on disk.
    seconds : float
        Of the whole run; 0 for a dry run.
    folds : int
        Trainings besides the model's own, for cross-validation.
    folds_seconds : float, optional
        What those take, with their reading and masks; None unless it is a dry run.
    cross_validation : dict, optional
        `CrossValidation.to_dict`, which the model keeps too.
    self_training : dict, optional
        What self-training brought, see `SelfTraining.compared`; the model keeps it too.
    failed : dict
        Images that were left out because their features cannot be read, and why.
    """

    model: str
    images: int
    pixels: int
    classes: dict[str, int]
    labelled: float
    residence: str
    memory: int
    steps: int
    seconds_a_step: float
    training_seconds: float
    peak_memory: int
    n_bytes: int
    reading_seconds: float | None = None
    seconds: float = 0.0
    folds: int = 0
    folds_seconds: float | None = None
    cross_validation: dict[str, Any] | None = None
    self_training: dict[str, Any] | None = None
    failed: dict[str, str] = field(default_factory=dict)
