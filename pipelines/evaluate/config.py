"""What ``dseg evaluate`` is asked for, and the scores that it returns."""

from dataclasses import dataclass
from pathlib import Path

from ...store.urls.location import Location

__all__ = ["EvaluateConfig", "EvaluateSummary", "UnseenScores"]


@dataclass(frozen=True)
class EvaluateConfig:
    """One run of ``dseg evaluate``.

    Parameters
    ----------
    masks, labels : path
        Folders of index PNGs (or what else a label map may be), matched by stem.
    list_file : path, optional
        Stems to score.
    ignore : int
        Id of the label maps' pixels without a class.
    paper : bool
        Count as published: absent classes as 0, unlabelled pixels in the unions, label maps brought
        to the masks' size.
    """

    masks: Location
    labels: Location
    list_file: Path | None = None
    ignore: int = 255
    paper: bool = False


@dataclass(frozen=True)
class UnseenScores:
    """The scores of images that the model has not learnt from.

    Parameters
    ----------
    images : int
    mean_iou, pixel_accuracy : float, optional
        0 to 1; None without such an image, or without a labelled pixel in them.
    """

    images: int
    mean_iou: float | None
    pixel_accuracy: float | None


@dataclass(frozen=True)
class EvaluateSummary:
    """The scores.

    Parameters
    ----------
    images : int
    mean_iou, pixel_accuracy : float
        0 to 1.
    iou : dict
        IoU of each class by name; None for classes that are not counted.
    learnt_from : int, optional
        How many of the images the masks' model has learnt from; None if that is not known of any.
    others : UnseenScores, optional
        The images that it has not learnt from, where it has learnt from some.
    """

    images: int
    mean_iou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    learnt_from: int | None = None
    others: UnseenScores | None = None
