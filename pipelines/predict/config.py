"""What ``dseg predict`` is asked for, and what it tells of a run."""

from dataclasses import dataclass, field
from pathlib import Path

from ...extract.images.reading_spec import MOST_PIXELS
from ...store.urls.location import Location
from ...store.urls.options import StorageOptions
from ..cluster.client import ClusterOptions
from ..inputs.unreadable import Unreadable
from ..masks.mask_model import ImageOptions

__all__ = ["PredictConfig", "PredictSummary"]


@dataclass(frozen=True)
class PredictConfig:
    """One run of ``dseg predict``.

    Parameters
    ----------
    sources : tuple of path
        A feature store, those of a model that was fitted on several, a folder of images, or
        images; by default the stores the model was fitted on.
    model : path
        What ``dseg fit`` wrote, or a folder of published ``model_<i>.pth`` (with a store only).
    out : path
        Folder of the masks.
    checkpoint : str, optional
        For images: where the model's diffusion model is now.
    backbone : str, optional
        For images: the factory of a network of one's own that the features may be made by.
    images : path, optional
        For overlays from a store: the images' folder.
    probabilities, uncertainty, overlay : bool
        What to write beside the masks.
    paper : bool
        Vote at the row's size and write that.
    min_size : int
        Objects of fewer pixels become part of what is around them.
    batch_size : int, optional
        Rows through the network at once.
    white : int, optional
        For images: the value of 16 bits a channel that is white; by default the model's.
    max_pixels : int
        Of an image that is decoded whole.
    shard : (i, n), optional
        Take the i-th, from 0, of n parts of the images.
    list_file : path, optional
        Stems of the images to take.
    device : str, optional
    cluster : ClusterOptions
        Which processes share the work.
    unreadable : {"stop", "skip"}
        What becomes of an image that cannot be read.
    overwrite : bool
        Replace masks of another model, or files that are no masks of ours.
    dry_run : bool
        Only tell what would be done.
    storage : StorageOptions
        Of the connection to the stores that the model was fitted on, if these are URLs.
    """

    sources: tuple[Location, ...] = ()
    model: Path = Path("model")
    out: Location = Path("masks")
    checkpoint: str | None = None
    backbone: str | None = None
    images: Location | None = None
    probabilities: bool = False
    uncertainty: bool = False
    overlay: bool = False
    paper: bool = False
    min_size: int = 0
    batch_size: int | None = None
    white: int | None = None
    max_pixels: int = MOST_PIXELS
    shard: tuple[int, int] | None = None
    list_file: Path | None = None
    device: str | None = None
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    unreadable: Unreadable = "skip"
    overwrite: bool = False
    dry_run: bool = False
    storage: StorageOptions = field(default=(), repr=False)

    @property
    def image_options(self) -> ImageOptions:
        """How images are run through the network of the model."""
        return ImageOptions(
            self.checkpoint, self.backbone, self.batch_size, self.white, self.max_pixels
        )


@dataclass
class PredictSummary:
    """What a run did, or with ``dry_run`` would do.

    Parameters
    ----------
    masks : str
        Their folder.
    images : int
        Images asked for.
    predicted, unchanged : int
        Masks written, and masks that were there already.
    failed : dict
        Reason by name of image.
    seconds : float
        Of the run; for a dry run, what it would take.
    n_bytes : int
        Of the masks that were written, with what stands beside them; for a dry run, of the files
        it would write, by a few images' files.
    peak_memory : int
        The most bytes that the process has had resident, interpreter and libraries included; for a
        dry run, that it would have. What lies in a GPU's memory is not.
    most_uncertain : tuple of str
        Stems of a few of the images asked for: those whose masks are the least certain, of images
        that the model has not learnt from.
    """

    masks: str
    images: int = 0
    predicted: int = 0
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    n_bytes: int = 0
    peak_memory: int = 0
    most_uncertain: tuple[str, ...] = ()
