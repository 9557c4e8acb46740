"""What a run of the benchmark is told, as the processes of its cells take it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .layout import DataSet

__all__ = ["Network", "NetworkOptions", "Plan", "Pretraining", "Size"]

Size = tuple[int, int]


@dataclass(frozen=True)
class NetworkOptions:
    """What all networks of one set have in common.

    Parameters
    ----------
    size : tuple of int, optional
        Height and width that the network sees; by default the checkpoint's own.
    head_channels : int, optional
        Of a guided-diffusion file.
    max_steps : int
        Of the ensemble.
    device : str, optional
    verbose : bool
        Let dseg's commands say on stderr what they do.
    """

    size: Size | None = None
    head_channels: int | None = None
    max_steps: int = 2000
    device: str | None = None
    verbose: bool = False


@dataclass(frozen=True)
class Network:
    """What of a checkpoint decides its activations.

    Parameters
    ----------
    checkpoint : str
        Where it is, as ``--checkpoint`` of ``dseg extract`` takes it.
    sha256 : str
    architecture : str
        A digest of everything but the weights: network, noise schedule, steps, blocks, size.
    size : tuple of int
        Height and width of the row grid.
    dims : int
        Channels a pixel.
    """

    checkpoint: str
    sha256: str
    architecture: str
    size: Size
    dims: int


@dataclass(frozen=True)
class Pretraining:
    """How a network is pretrained on a set's images.

    Parameters
    ----------
    seconds : float
    size : int
        Side of what the network sees meanwhile, pixels.
    crop : float, optional
        Least side of a cut-out, as a fraction of the image's; by default `least_cut_out`.
    init : str, optional
        Checkpoint to begin from.
    """

    seconds: float = 900.0
    size: int = 64
    crop: float | None = None
    init: str | None = None

    def least_cut_out(self, rows: Size | None) -> float:
        """Return ``crop``, or at which cut-outs are as much enlarged as rows of that size.

        A network finds only what it has seen at about the size at which it is shown.

        Examples
        --------
        >>> Pretraining(size=64).least_cut_out((256, 256))
        0.25
        """
        if self.crop is not None:
            return self.crop
        return 1.0 if rows is None else min(1.0, self.size / min(rows))


@dataclass(frozen=True)
class Plan:
    """What is to be computed, and where.

    Parameters
    ----------
    sets : tuple of DataSet
    rows : tuple of str
        Of `runner.ROWS`.
    out : path
        Of the results and of pretrained networks.
    work : path
        Of features, models and masks, which are removed once scored.
    seeds : int
        0 to seeds - 1.
    sizes : mapping of str to (height, width)
        Of the row grid, by set; of other sets it is the checkpoint's.
    checkpoints : mapping of str to str
        What to take instead of pretraining, by set.
    also : mapping of str to str
        Checkpoints of further rows by their name; "{set}" stands for the set's name.
    pretraining : Pretraining
    max_steps : int
        Of every ensemble.
    head_channels : int, optional
        Of checkpoints that are guided-diffusion files.
    device : str, optional
    keep : bool
        Leave features, models and masks in ``work``.
    in_process : bool
        Compute in this process.
    verbose : bool
    """

    sets: tuple[DataSet, ...]
    rows: tuple[str, ...]
    out: Path
    work: Path
    seeds: int = 3
    sizes: Mapping[str, Size] = field(default_factory=dict)
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)
    pretraining: Pretraining = field(default_factory=Pretraining)
    max_steps: int = 2000
    head_channels: int | None = None
    device: str | None = None
    keep: bool = False
    in_process: bool = False
    verbose: bool = False

    def network_options(self, data: DataSet) -> NetworkOptions:
        """Return what the networks of a set have in common."""
        return NetworkOptions(
            size=self.sizes.get(data.name),
            head_channels=self.head_channels,
            max_steps=self.max_steps,
            device=self.device,
            verbose=self.verbose,
        )
