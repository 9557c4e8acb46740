"""What ``dseg sample`` is asked for, and what it tells of a run."""

from dataclasses import dataclass, field
from pathlib import Path

from ...extract.checkpoints.builtin import BUILTIN
from ...extract.networks.options import CheckpointOptions
from ...generate.sampler import SamplerSettings

__all__ = ["SampleConfig", "SampleEstimate", "SampleSummary"]


@dataclass(frozen=True)
class SampleConfig:
    """One run of ``dseg sample``.

    Parameters
    ----------
    out : path
        The folder of images: new, or one of the same settings, which is then completed.
    count : int
        Images that it should then have.
    checkpoint : str
        A diffusion model of images.
    seed : int
        Of the first image; image number k has the seed ``seed + k``.
    checkpoint_options : CheckpointOptions
        How the checkpoint is read.
    settings : SamplerSettings
        How images are drawn.
    batch_size : int, optional
        Images that are drawn together; by default two for each thread of a CPU, 16 elsewhere.
    shard : (i, n), optional
        Draw the i-th, from 0, of n parts of the images.
    overwrite : bool
        Remove images that were drawn in another way.
    dry_run : bool
        Only tell what would be done.
    """

    out: Path
    count: int
    checkpoint: str = BUILTIN
    seed: int = 0
    checkpoint_options: CheckpointOptions = field(default_factory=CheckpointOptions)
    settings: SamplerSettings = field(default_factory=SamplerSettings)
    batch_size: int | None = None
    shard: tuple[int, int] | None = None
    overwrite: bool = False
    dry_run: bool = False


@dataclass
class SampleSummary:
    """What a run did.

    Parameters
    ----------
    folder : str
    images : int
        Images asked for, of the shard if one was given.
    drawn, unchanged : int
        Images drawn, and images that were there already.
    n_bytes : int
        Of the files that were written.
    seconds : float
    sheet : str, optional
        The contact sheet; None if another file has its name.
    """

    folder: str
    images: int
    drawn: int = 0
    unchanged: int = 0
    n_bytes: int = 0
    seconds: float = 0.0
    sheet: str | None = None


@dataclass(frozen=True)
class SampleEstimate:
    """What a run would take.

    Parameters
    ----------
    folder : str
    images : int
        That are not there yet.
    seconds : float
        At the pace of two passes of the network.
    n_bytes : int
        At most, on disk.
    free_bytes : int
        On that disk.
    peak_memory : int
        Bytes that the process has resident, interpreter and libraries included; what lies in a
        GPU's memory does not count.
    """

    folder: str
    images: int
    seconds: float
    n_bytes: int
    free_bytes: int
    peak_memory: int
