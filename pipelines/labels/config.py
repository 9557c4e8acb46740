"""What ``dseg labels`` is asked for, and what it tells."""

from dataclasses import dataclass
from pathlib import Path

from ...store.urls.location import Location

__all__ = ["CheckSummary", "ConvertLabelsConfig", "ConvertLabelsSummary", "LabelsConfig", "Problem"]


@dataclass(frozen=True)
class LabelsConfig:
    """One run of ``dseg labels check``.

    Parameters
    ----------
    images : path
        Folder of the images, or a feature store of them.
    labels : path
        A folder of label maps, or annotation files.
    classes_file : path, optional
        What names the classes, with their ids or colours, in place of a file beside the label maps.
    background : str
        Name of the class of what nothing marks; "unlabelled" for none.
    list_file : path, optional
        Stems of the images to take.
    ignore : int
        Id of pixels without a class.
    """

    images: Location
    labels: Location
    classes_file: Path | None = None
    background: str = "background"
    list_file: Path | None = None
    ignore: int = 255


@dataclass(frozen=True)
class ConvertLabelsConfig(LabelsConfig):
    """One run of ``dseg labels convert``.

    Parameters
    ----------
    out : path
        Folder of the plain label maps; or what ``to`` writes.
    to : str, optional
        An annotation format, see `registry.writable`.
    overwrite : bool
        Replace a folder of label maps.
    """

    out: Path = Path("plain")
    to: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Problem:
    """What keeps a label map, or all of them, from being used.

    Parameters
    ----------
    file : str or None
        The label map; None for all.
    words : str
        What is wrong and what to do.
    """

    file: str | None
    words: str


@dataclass(frozen=True)
class CheckSummary:
    """What would be used.

    Parameters
    ----------
    labels : str
        What was given.
    described : str
        Which form the label maps have.
    images : int
        There are.
    labelled : int
        Of these have a label map that can be used.
    classes : dict
        By name: how many pixels, and in how many label maps.
    unlabelled : int
        Pixels without a class.
    problems : tuple of Problem
    notes : tuple of str
        What is odd but may be intended.
    """

    labels: str
    described: str
    images: int
    labelled: int
    classes: dict[str, dict[str, int]]
    unlabelled: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ConvertLabelsSummary:
    """What was written.

    Parameters
    ----------
    out : str
    images : int
    classes : tuple of str
    described : str
        Which form the label maps had.
    """

    out: str
    images: int
    classes: tuple[str, ...]
    described: str
