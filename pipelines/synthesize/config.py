"""What ``dseg synthesize`` is asked for, and what it tells of a run."""

from dataclasses import dataclass, field
from pathlib import Path

from ...extract.networks.options import CheckpointOptions
from ...generate.sampler import SamplerSettings
from ..cluster.client import ClusterOptions
from .filtering import Rule

__all__ = ["SynthesizeConfig", "SynthesizeSummary"]


@dataclass(frozen=True)
class SynthesizeConfig:
    """One run of ``dseg synthesize``.

    Parameters
    ----------
    model : path
        What ``dseg fit`` wrote, with at least two members.
    out : path
        A folder, or a Zarr store where the name ends in ``.zarr``.
    count : int
        Images to draw.
    checkpoint : str, optional
        The generator; by default the network of the model's features, if it can draw.
    checkpoint_options : CheckpointOptions
        How the generator's checkpoint is read.
    settings : SamplerSettings
        How a diffusion model draws.
    seed : int
        Of the first image; the others follow.
    rule : {"certain", "paper", "all"}
        Which images are kept, see `filtering.kept`.
    dropped : float
        The share of the least certain images that are not.
    features : str, optional
        Where the network of the model's features is now.
    backbone : str, optional
        The factory of a network of one's own that the features may be made by.
    batch_size : int, optional
        Images drawn together.
    device : str, optional
    overwrite : bool
        Replace synthetic images of other settings.
    dry_run : bool
        Only tell what would be done.
    """

    model: Path
    out: Path
    count: int
    checkpoint: str | None = None
    checkpoint_options: CheckpointOptions = field(default_factory=CheckpointOptions)
    settings: SamplerSettings = field(default_factory=SamplerSettings)
    seed: int = 0
    rule: Rule = "certain"
    dropped: float = 0.1
    features: str | None = None
    backbone: str | None = None
    batch_size: int | None = None
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    overwrite: bool = False
    dry_run: bool = False


@dataclass
class SynthesizeSummary:
    """What a run did, or with ``dry_run`` would do.

    Parameters
    ----------
    out : str
    images : int
        Asked for.
    made, unchanged : int
        Images made now, and images that were there already.
    kept : int
        Those that the rule keeps.
    classes : dict
        In how many kept images each class has a pixel, by its name.
    seconds : float
        Of the run; for a dry run, what it would take.
    n_bytes : int
        For a dry run, what it would write.
    peak_memory : int
        Bytes that the process held at most; for a dry run, that it would hold. What lies in a
        GPU's memory does not count.
    """

    out: str
    images: int
    made: int = 0
    unchanged: int = 0
    kept: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    n_bytes: int = 0
    peak_memory: int = 0
