"""What ``dseg suggest`` takes and returns."""

from dataclasses import dataclass, field
from pathlib import Path

from ...classify.inference.suggestion import Region
from ...store.urls.location import Location

__all__ = ["SuggestConfig", "SuggestSummary", "Suggestion"]


@dataclass(frozen=True)
class SuggestConfig:
    """One run of ``dseg suggest``.

    Parameters
    ----------
    stores : tuple of path
        Of the images to choose from; by default those that the model was fitted on.
    model : path
    count : int
        Images to suggest.
    labels : path, optional
        Label maps, in any form: images that have one are not suggested, nor are those that the
        model was trained on.
    list_file : path, optional
        Stems of the images to choose from.
    out : path, optional
        File for the stems of the suggested images, one a line.
    device : str, optional
    """

    stores: tuple[Location, ...] = ()
    model: Path = Path("model")
    count: int = 10
    labels: Location | None = None
    list_file: Path | None = None
    out: Path | None = None
    device: str | None = None


@dataclass(frozen=True)
class Suggestion:
    """An image to label.

    Parameters
    ----------
    image, stem : str
    uncertainty : float
        Its `image_uncertainty`, nats.
    regions : tuple of Region
        Where the members disagree most.
    """

    image: str
    stem: str
    uncertainty: float
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class SuggestSummary:
    """What is suggested.

    Parameters
    ----------
    candidates : int
        Images without labels that were looked at.
    suggestions : tuple of Suggestion
        The most useful first.
    failed : dict
        Images whose features cannot be used, and why.
    seconds : float
    """

    candidates: int
    suggestions: tuple[Suggestion, ...]
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
