"""What ``dseg pretrain`` takes and returns."""

from dataclasses import dataclass, field
from pathlib import Path

from ...extract.networks.options import CheckpointOptions
from ...pretrain.data.images import Augmentation
from ...pretrain.run.loop import Length
from ...pretrain.train.recipe import Recipe
from ..inputs.reading_choice import ReadingChoice

__all__ = ["PretrainConfig", "PretrainEstimate", "PretrainSummary"]

_DEFAULT_SECONDS = 3600.0


@dataclass(frozen=True)
class PretrainConfig:
    """One run of ``dseg pretrain``.

    Parameters
    ----------
    images : path
        Folder of images of any size, sub-folders included.
    out : path
        The checkpoint folder: new, or one of the same run, which then goes on.
    size : int, optional
        Side of what the network sees, pixels; by default that of ``init``, else 64.
    init : str, optional
        Checkpoint to begin from, as `load_backbone` takes it; by default random weights.
    init_options : CheckpointOptions
        What a ``.pt`` given as ``init`` cannot show.
    network : str, optional
        One of `presets.PRESETS`; by default the one that fits the number of images.
    steps : int, optional
    seconds : float, optional
        When to end: whichever comes first; by default an hour.
    schedule : {"linear", "cosine"}, optional
        Noise schedule of 1000 steps; by default that of ``init``, else linear.
    augmentation : Augmentation
    recipe : Recipe
    precision : str, optional
        One of `precision.PRECISIONS`; by default the quickest that is safe on the device.
    compiled : bool
        Compile the network first.
    save_seconds : float
        Between two saves of the state; what a killed run loses at most.
    sheets : int, optional
        Sheets of samples drawn over the run, 0 for none; by default 4, of a short run one at its
        end, where that does not take too long.
    workers : int, optional
        Threads that decode; by default one a core, 8 at most.
    white : int, optional
        The value of images of 16 bits a channel that is white; by default the one of the fewest
        bits that hold all values of all images.
    reading : ReadingChoice
        Which bands and plane are read, and which values become black and white.
    list_file : path, optional
        Stems of the images to take.
    device : str, optional
    overwrite : bool
        Begin anew where a run of other settings is, or a finished one; it stays in place until the
        new one is saved for the first time.
    dry_run : bool
        Only tell what would be done.
    """

    images: Path
    out: Path
    size: int | None = None
    init: str | None = None
    init_options: CheckpointOptions = field(default_factory=CheckpointOptions)
    network: str | None = None
    steps: int | None = None
    seconds: float | None = None
    schedule: str | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    recipe: Recipe = field(default_factory=Recipe)
    precision: str | None = None
    compiled: bool = False
    save_seconds: float = 300.0
    sheets: int | None = None
    workers: int | None = None
    white: int | None = None
    reading: ReadingChoice = field(default_factory=ReadingChoice)
    list_file: Path | None = None
    device: str | None = None
    overwrite: bool = False
    dry_run: bool = False

    @property
    def length(self) -> Length:
        """When the run ends."""
        if self.steps is None and self.seconds is None:
            return Length(seconds=_DEFAULT_SECONDS)
        return Length(self.steps, self.seconds)


@dataclass(frozen=True)
class PretrainSummary:
    """What a run did.

    Parameters
    ----------
    checkpoint : str
    images, held_out : int
        Images trained on, and held out.
    steps : int
        Taken so far, over all sessions.
    seconds : float
        Of training, over all sessions.
    loss, held_out_loss : float, optional
        At the end: of training, and of the averaged network on held-out images.
    first_held_out_loss : float, optional
        Of the network that the run began from.
    note : str, optional
        That it has not become better than that.
    failed : dict
        Images left out: reason by name.
    finished_before : bool
        Whether there was nothing to do.
    """

    checkpoint: str
    images: int
    held_out: int
    steps: int = 0
    seconds: float = 0.0
    loss: float | None = None
    held_out_loss: float | None = None
    first_held_out_loss: float | None = None
    note: str | None = None
    failed: dict[str, str] = field(default_factory=dict)
    finished_before: bool = False


@dataclass(frozen=True)
class PretrainEstimate:
    """What a run would do.

    Parameters
    ----------
    checkpoint : str
    images, held_out : int
    network : str
    parameters : int
    done : int
        Steps that an earlier session has taken.
    steps : int
        That the run would come to.
    seconds : float
        That the steps to come would take, from a probe of a few.
    n_bytes : int
        On disk.
    peak_memory : int
        Bytes that the process would hold at most, from the probe; what lies in a GPU's memory does
        not count.
    failed : dict
        Images that would be left out: reason by name.
    """

    checkpoint: str
    images: int
    held_out: int
    network: str
    parameters: int
    done: int
    steps: int
    seconds: float
    n_bytes: int
    peak_memory: int
    failed: dict[str, str] = field(default_factory=dict)
