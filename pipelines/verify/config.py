"""What ``dseg verify`` is asked for, and what it tells."""

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["VerifyConfig", "VerifySummary"]


@dataclass(frozen=True)
class VerifyConfig:
    """One run of ``dseg verify``.

    Parameters
    ----------
    path : path
        What a command of dseg wrote.
    repair : bool
        Remove what belongs to nothing, and what is damaged so that it is made again.
    images : path, optional
        With ``repair``, of a store: the folder of its images, which are extracted again.
    checkpoint : str, optional
        Where the network of the store's features is now.
    backbone : str, optional
        The factory of a network of one's own that the features may be made by.
    device : str, optional
    """

    path: Path
    repair: bool = False
    images: Path | None = None
    checkpoint: str | None = None
    backbone: str | None = None
    device: str | None = None


@dataclass
class VerifySummary:
    """What a run found.

    Parameters
    ----------
    path, kind : str
    images : int
        That it should hold, as far as it says.
    faults : list of dict
        What was wrong: the ``file``, the ``image`` or None, what is wrong in ``words``, and whether
        it was ``repaired``.
    removed : tuple of str
        Images that were damaged, and that the same command as before is to make again.
    extracted : int
        Images that were extracted again.
    set_aside : str, optional
        The folder to which files were moved that may be somebody's.
    writing : str, optional
        Who is writing there: what is not complete yet was not looked at.
    again : str
        What to do now, if anything.
    seconds : float
    """

    path: str
    kind: str
    images: int = 0
    faults: list[dict[str, object]] = field(default_factory=list)
    removed: tuple[str, ...] = ()
    extracted: int = 0
    set_aside: str | None = None
    writing: str | None = None
    again: str = ""
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return all(fault["repaired"] for fault in self.faults)
