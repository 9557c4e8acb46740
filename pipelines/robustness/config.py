"""What ``dseg robustness`` takes and returns."""

from dataclasses import dataclass, field
from pathlib import Path

from .corruptions import COMMON, SEVERITIES

__all__ = ["RobustnessConfig", "RobustnessSummary"]


@dataclass(frozen=True)
class RobustnessConfig:
    """One run of ``dseg robustness``.

    Parameters
    ----------
    images, labels : path
        Folders, matched by stem.
    models : tuple of path
        What ``dseg fit`` wrote.
    out : path
        Folder of the results.
    corruptions : tuple of str
        Names of corruptions and groups.
    severities : tuple of int
        From 1 to 5.
    checkpoints : tuple of str
        Where the models' diffusion models are now: none, one for all, or one for each.
    side : int
        Shorter side to which larger images are brought to be corrupted.
    ignore : int
        Id of the label maps' pixels without a class.
    seed : int
        Of the corruptions.
    batch_size : int, optional
        Rows through the network at once.
    list_file : path, optional
        Stems to take.
    device : str, optional
    overwrite : bool
        Begin anew, in place of results of other images, models or settings.
    dry_run : bool
        Only tell what would be done.
    """

    images: Path
    labels: Path
    models: tuple[Path, ...] = (Path("model"),)
    out: Path = Path("robustness")
    corruptions: tuple[str, ...] = COMMON
    severities: tuple[int, ...] = SEVERITIES
    checkpoints: tuple[str, ...] = ()
    side: int = 256
    ignore: int = 255
    seed: int = 0
    batch_size: int | None = None
    list_file: Path | None = None
    device: str | None = None
    overwrite: bool = False
    dry_run: bool = False


@dataclass
class RobustnessSummary:
    """What a run did, or with ``dry_run`` would do.

    Parameters
    ----------
    out : str
        The folder.
    images : int
        In each pass.
    passes, unchanged : int
        Passes over all images that were made, and that had been made before.
    seconds : float
        Of the run; for a dry run, what it would take, by a few images.
    peak_memory : int
        The most bytes that the process has had resident, interpreter and libraries included; for a
        dry run, that it would have. What lies in a GPU's memory is not.
    mean_iou : dict
        By model: of the clean images ("0"), and at each severity the mean over the corruptions
        that were asked for. None where one has no score.
    learnt_from : dict
        By model: from how many of the images it has learnt; None if that is not known.
    """

    out: str
    images: int = 0
    passes: int = 0
    unchanged: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    mean_iou: dict[str, dict[str, float | None]] = field(default_factory=dict)
    learnt_from: dict[str, int | None] = field(default_factory=dict)
