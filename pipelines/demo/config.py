"""What ``dseg demo`` takes and returns."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["DemoConfig", "DemoSummary"]


@dataclass(frozen=True)
class DemoConfig:
    """One run of ``dseg demo``.

    Parameters
    ----------
    out : path
        Folder of all that is made: new, empty, or one of an earlier run, which then goes on.
    checkpoint : str, optional
        File, folder, hub id or ``builtin:`` name of a network; by default those of `dseg extract`.
    size : tuple of 2 ints
        Height and width of the scenes in pixels.
    labelled, predicted : int
        Number of scenes to learn from, and of others to predict and score.
    members, max_steps : int
        Of the fit.
    device : str, optional
    overwrite : bool
        Start an earlier run anew, or use a folder that holds other things.
    """

    out: Path = Path("dseg-demo")
    checkpoint: str | None = None
    size: tuple[int, int] = (128, 128)
    labelled: int = 12
    predicted: int = 60
    members: int = 10
    max_steps: int = 2000
    device: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class DemoSummary:
    """What a run made.

    Parameters
    ----------
    folder, picture : str
    labelled, predicted : int
        Number of scenes learnt from, and of those predicted.
    mean_iou, pixel_accuracy : float
        Over the predicted scenes, 0 to 1.
    iou : dict
        IoU of each class by name; None for classes that are not counted.
    seconds : float
        Of this run alone: what an earlier one had done already costs none.
    """

    folder: str
    picture: str
    labelled: int
    predicted: int
    mean_iou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    seconds: float
