"""What ``dseg select`` takes and returns."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...store.urls.location import Location
from ..inputs.unreadable import Unreadable

__all__ = ["Confirmed", "ScoredSet", "SelectConfig", "SelectSummary"]


@dataclass(frozen=True)
class SelectConfig:
    """One run of ``dseg select``.

    Parameters
    ----------
    stores : tuple of path
        The feature store, or several of the same images.
    labels : path
        Folder of label maps.
    out : path
        Folder of the report.
    list_file : path, optional
        Stems of the images to use.
    ignore : int
        The id of pixels without a class.
    most : int
        Layers of the largest set that is looked for.
    folds : int, optional
        By default 5, or as many as there are images.
    max_steps : int
        Of the ensembles that confirm; 0: none do.
    members : int
        Of those ensembles.
    measure_time : bool
        Time the networks whose checkpoints are available.
    memory : int, optional
        Bytes to take above what the imports take; by default half of what is free.
    seed : int
    device : str, optional
    unreadable : {"stop", "skip"}
        What becomes of a labelled image whose features cannot be read.
    overwrite : bool
        Replace a report that is there.
    dry_run : bool
        Only tell what would be done.
    """

    stores: tuple[Location, ...]
    labels: Location
    out: Path = Path("select")
    list_file: Path | None = None
    ignore: int = 255
    most: int = 6
    folds: int | None = None
    max_steps: int = 500
    members: int = 5
    measure_time: bool = True
    memory: int | None = None
    seed: int = 0
    device: str | None = None
    unreadable: Unreadable = "stop"
    overwrite: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Confirmed:
    """What the ensemble says of a set, on held-out images.

    Parameters
    ----------
    mean_iou : float
    interval : tuple of float
        95 %, by resampling images.
    iou : dict
        By class; None for a class that is in no mask and no label map.
    behind : float
        How far the mIoU is behind the best set that was tried.
    error : float
        Standard error of that.
    """

    mean_iou: float
    interval: tuple[float, float]
    iou: Mapping[str, float | None]
    behind: float
    error: float


@dataclass(frozen=True)
class ScoredSet:
    """A set of layers.

    Parameters
    ----------
    title : str
        What it is to the search, such as "best alone".
    layers : tuple of str
        In the order in which they were added, else in feature order.
    mean_iou : float
        Of the linear probe.
    iou : dict
        By class, of the linear probe; None for a class that is nowhere.
    bytes_per_row : int
        In float16, before compression.
    bytes_share : float
        Of all layers' bytes.
    steps : int
        Passes of a network: one a timestep.
    seconds_per_row : float, optional
        Of the networks, measured here; None if it was not.
    time_share : float
        Of all layers' time; by the number of passes alone if it was not measured.
    gain, error : float, optional
        Of a step of the search: what the layer added last gains, and the standard error of it.
    ensemble : Confirmed, optional
    """

    title: str
    layers: tuple[str, ...]
    mean_iou: float
    iou: Mapping[str, float | None]
    bytes_per_row: int
    bytes_share: float
    steps: int
    seconds_per_row: float | None
    time_share: float
    gain: float | None = None
    error: float | None = None
    ensemble: Confirmed | None = None


@dataclass(frozen=True)
class SelectSummary:
    """What was found, or with ``dry_run`` what a run would take.

    Parameters
    ----------
    out : str
    stores : tuple of str
    images, folds : int
    classes : dict
        Labelled pixels of each, by name.
    sampled : int
        Pixels, an image at most so many.
    memory : int
        Bytes that the search takes at most, above what the imports take; of a dry run, bytes that
        the whole run would take.
    n_layers : int
    alone : tuple of ScoredSet
        Each layer by itself.
    path : tuple of ScoredSet
        One layer more each.
    sets : tuple of ScoredSet
        Those that were compared in the end, the recommended one first.
    commands : tuple of str
        To use the recommended set.
    probe_seconds, ensemble_seconds, seconds : float
        Of the search, of confirming, of the whole run; of a dry run estimates.
    failed : dict
        Images that were left out because their features cannot be read, and why.
    """

    out: str
    stores: tuple[str, ...]
    images: int
    folds: int
    classes: Mapping[str, int]
    sampled: int
    memory: int
    n_layers: int
    alone: tuple[ScoredSet, ...] = ()
    path: tuple[ScoredSet, ...] = ()
    sets: tuple[ScoredSet, ...] = ()
    commands: tuple[str, ...] = ()
    probe_seconds: float = 0.0
    ensemble_seconds: float = 0.0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def recommended(self) -> ScoredSet:
        """The set to use."""
        return self.sets[0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
