"""What ``dseg distil`` takes and returns."""

from dataclasses import dataclass, field
from pathlib import Path

from ...extract.images.reading_spec import MOST_PIXELS
from ...pretrain.run.loop import Length

__all__ = ["DistilConfig", "DistilEstimate", "DistilSummary"]

DEFAULT_SECONDS = 1800.0
PAPER_EPOCHS = 20


@dataclass(frozen=True)
class DistilConfig:
    """One run of ``dseg distil``.

    Parameters
    ----------
    source : path
        Folder of images without labels, a synthetic folder (``images/``, ``labels/``,
        ``classes.txt``), or a Zarr store of synthetic images.
    labels : path, optional
        Folder of label maps of real images.
    model : path, optional
        The teacher: what ``dseg fit`` wrote, or another student; by default ``model``. Not for a
        synthetic folder or store.
    out : path
        The student's folder: new, or one of the same run, which then goes on.
    images : path, optional
        Folder of the labelled images; by default the source.
    network : str
        One of `distil.networks.registry.KINDS`.
    recipe : {"default", "paper"}
    size : int, optional
        Longer side at which images are seen, pixels; by default 256. Of a teacher that sees images
        in tiles, the tiles' side, by default the teacher's.
    steps : int, optional
    seconds : float, optional
        When to end: whichever comes first; by default half an hour, with the paper's recipe 20
        epochs.
    flip : bool, optional
        Mirror every other image; by default unless a class is named left or right.
    batch_size : int, optional
    learning_rate : float, optional
        By default the recipe's.
    precision : str, optional
        One of `precision.PRECISIONS`; by default the quickest that is safe on the device.
    save_seconds : float
        Between two saves of the state; what a killed run loses at most.
    workers : int, optional
        Threads that decode; by default one a core, 8 at most.
    seed : int
    ignore : int
        Id of unlabelled pixels.
    white : int, optional
        The value of images of 16 bits a channel that is white; by default the teacher's.
    max_pixels : int
        Of an image that is decoded whole.
    checkpoint, backbone : str, optional
        Where the teacher's network is now; the factory of a network of one's own.
    list_file : path, optional
        Stems of the images of the source to take.
    labelled_file : path, optional
        Stems of the label maps to take.
    device : str, optional
    overwrite : bool
        Begin anew where a run of other settings is, or a finished one.
    dry_run : bool
        Only tell what would be done.
    """

    source: Path
    labels: Path | None = None
    model: Path | None = None
    out: Path = Path("student")
    images: Path | None = None
    network: str = "fpn"
    recipe: str = "default"
    size: int | None = None
    steps: int | None = None
    seconds: float | None = None
    flip: bool | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    precision: str | None = None
    save_seconds: float = 300.0
    workers: int | None = None
    seed: int = 0
    ignore: int = 255
    white: int | None = None
    max_pixels: int = MOST_PIXELS
    checkpoint: str | None = None
    backbone: str | None = None
    list_file: Path | None = None
    labelled_file: Path | None = None
    device: str | None = None
    overwrite: bool = False
    dry_run: bool = False

    def length(self, images: int, batch_size: int) -> Length:
        """Return when a run on so many images ends."""
        if self.steps is not None or self.seconds is not None:
            return Length(self.steps, self.seconds)
        if self.recipe == "paper":
            return Length(steps=PAPER_EPOCHS * -(-images // batch_size))
        return Length(seconds=DEFAULT_SECONDS)


@dataclass(frozen=True)
class DistilSummary:
    """What a run did.

    Parameters
    ----------
    student : str
    images, labelled, held_out : int
        Images of the source that were learnt from, labelled images that were, and images held out.
    steps : int
        Taken so far, over all sessions.
    seconds : float
        Of training, over all sessions.
    loss : float, optional
        At the end.
    held_out_miou : float, optional
        The best of the run, whose weights are the student's.
    held_out_against : str
        What the held-out images' masks were compared with.
    failed : dict
        Images left out: reason by name.
    finished_before : bool
        Whether there was nothing to do.
    """

    student: str
    images: int
    labelled: int
    held_out: int
    steps: int = 0
    seconds: float = 0.0
    loss: float | None = None
    held_out_miou: float | None = None
    held_out_against: str = ""
    failed: dict[str, str] = field(default_factory=dict)
    finished_before: bool = False


@dataclass(frozen=True)
class DistilEstimate:
    """What a run would take, by a probe of a few images and steps.

    Parameters
    ----------
    student : str
    images, labelled, held_out : int
        As of `DistilSummary`, where the teacher can segment every image.
    to_segment : int
        Images that the teacher has not segmented yet.
    teacher_seconds : float
        That it takes for them.
    soft_label_bytes : int
        What its soft labels of them take on disk.
    done, steps : int
        Steps that earlier sessions have taken, and that the run would come to.
    training_seconds : float
        Of the steps to come.
    n_bytes : int
        On disk at most: soft labels, the state to continue from while it is replaced, the student.
    free_bytes : int
        On that disk.
    peak_memory : int
        Bytes that the process would have resident at most, interpreter and libraries included; what
        lies in a GPU's memory does not count.
    failed : dict
        Images that would be left out: reason by name.
    """

    student: str
    images: int
    labelled: int
    held_out: int
    to_segment: int
    teacher_seconds: float
    soft_label_bytes: int
    done: int
    steps: int
    training_seconds: float
    n_bytes: int
    free_bytes: int
    peak_memory: int
    failed: dict[str, str] = field(default_factory=dict)
