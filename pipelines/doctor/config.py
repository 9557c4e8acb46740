"""What ``dseg doctor`` takes and returns."""

from dataclasses import dataclass, field

__all__ = ["DoctorConfig", "DoctorReport", "SelfTest"]


@dataclass(frozen=True)
class DoctorConfig:
    """One run of ``dseg doctor``.

    Parameters
    ----------
    device : str, optional
        By default a GPU if there is one.
    self_test : bool
        Run the three commands on two drawn images.
    """

    device: str | None = None
    self_test: bool = True


@dataclass(frozen=True)
class SelfTest:
    """The three commands on two drawn images.

    Parameters
    ----------
    extract_seconds, fit_seconds, predict_seconds : float
        The first includes loading the network.
    right : float
        Fraction of the pixels that got their true class, on the images that were learnt from.
    """

    extract_seconds: float
    fit_seconds: float
    predict_seconds: float
    right: float


@dataclass(frozen=True)
class DoctorReport:
    """What was found.

    Parameters
    ----------
    dseg, python, system : str
        Versions, and the operating system with its machine type.
    packages : dict
        Version of each package that dseg needs; None where it is not installed.
    extras : dict
        Of each extra the packages that are missing; none where it can be used.
    device : str
        What is used by default, or was asked for.
    gpus : list of str
    cores : int
        That this process may use.
    memory, free_memory : int
        Bytes; the limit of a container counts.
    free_disk : dict
        Bytes by folder.
    locks : bool
        Whether the file system of the working folder has locks.
    self_test : SelfTest, optional
    problems : list of str
        What keeps dseg from working, or from working as it should, and what helps.
    works : bool
        False if a problem keeps dseg from working.
    """

    dseg: str
    python: str
    system: str
    packages: dict[str, str | None]
    extras: dict[str, list[str]]
    device: str
    gpus: list[str]
    cores: int
    memory: int
    free_memory: int
    free_disk: dict[str, int]
    locks: bool
    self_test: SelfTest | None = None
    problems: list[str] = field(default_factory=list)
    works: bool = True
