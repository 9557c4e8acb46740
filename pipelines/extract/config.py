"""What ``dseg extract`` is asked for, and what it reports: plain values."""

from dataclasses import dataclass, field
from pathlib import Path

from ...extract.networks.options import BackboneOptions
from ...store.spec import Fit
from ...store.urls.location import Location
from ..cluster.client import ClusterOptions
from ..inputs.reading_choice import ReadingChoice

__all__ = ["Estimate", "ExtractConfig", "ExtractSummary"]


@dataclass(frozen=True)
class ExtractConfig:
    """One run of ``dseg extract``.

    Parameters
    ----------
    images : path
        Folder of images, sub-folders included; or one image.
    out : path
        The store: new, or one of the same feature spec, which is then completed.
    checkpoints : tuple of str
        Files, folders or hub ids of the networks, each perhaps with sizes (``net.pt@256,512``); by
        default those of `networks.default_networks`, or with ``layers_from`` the model's, where it
        was.
    sizes : tuple of (height, width)
        Of the networks' input, for those without their own; by default the checkpoint's. The
        features of several networks or sizes are joined in one store.
    layers_from : path, optional
        A model that `dseg fit` wrote: the features are those that it was fitted on; or a store:
        they are those that it holds. Then
        of ``backbone`` only the device may be given, and neither ``fit`` nor ``overlap``.
    part : int, optional
        Of a model that was fitted on several stores: which of them, from 1, is to be made again.
    backbone : BackboneOptions
    optional : frozenset of str
        Those of its fields that come from dseg.toml: they are ignored where the network does not
        support them, such as steps where there is no noise.
    fit : {"squash", "pad", "tile"}
    overlap : int, optional
        Of tiles, in pixels; by default a quarter of their shorter side.
    batch_size : int, optional
        Images or tiles that go through the network at once; by default 1 on a CPU, 8 elsewhere.
    codec : str
        Compression of the store.
    layout : {"native", "dense"}
        "dense" writes literal vectors of every pixel instead, for other programs.
    white : int, optional
        The value of images of 16 bits a channel that is white; by default that of the store or
        model, else the one of the fewest bits that hold all values of all images.
    reading : ReadingChoice
        Which bands and plane are read, and which values become black and white; by default those of
        the store or model.
    list_file : path, optional
        Stems of the images to take.
    only : frozenset of str, optional
        Stems of the images to take, of those that there are.
    shard : (i, n), optional
        Take the i-th, from 0, of n parts of the images; the parts may run at the same time.
    cluster : ClusterOptions
        Which processes share the work.
    verify : bool
        Read every chunk of the images that are there, and extract those again that are damaged.
    overwrite : bool
        Replace a store of other features.
    dry_run : bool
        Only report what would be done.
    """

    images: Location
    out: Location
    checkpoints: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    layers_from: Path | None = None
    part: int | None = None
    backbone: BackboneOptions = field(default_factory=BackboneOptions)
    optional: frozenset[str] = frozenset()
    fit: Fit = "squash"
    overlap: int | None = None
    batch_size: int | None = None
    codec: str = "lz4"
    layout: str = "native"
    white: int | None = None
    reading: ReadingChoice = field(default_factory=ReadingChoice)
    list_file: Path | None = None
    only: frozenset[str] | None = None
    shard: tuple[int, int] | None = None
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    verify: bool = False
    overwrite: bool = False
    dry_run: bool = False


@dataclass
class ExtractSummary:
    """What a run did.

    Parameters
    ----------
    store : str
    images : int
        Images to extract.
    extracted, unchanged : int
        Images written, and images that were there already.
    damaged : int
        Images that were there, but of which a part was not: they are extracted again.
    failed : dict
        Reason by name of image.
    vanished : tuple of str
        Images in the store that are not in the folder (any more).
    clipped : dict
        Values beyond float16's range by name of image, where there were any.
    n_bytes : int, optional
        Size of the store on disk; None if no image was extracted.
    seconds : float
    """

    store: str
    images: int
    extracted: int = 0
    unchanged: int = 0
    damaged: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    vanished: tuple[str, ...] = ()
    clipped: dict[str, int] = field(default_factory=dict)
    n_bytes: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """What a run would take, by a probe of some images.

    Parameters
    ----------
    store : str
    images, rows : int
        That are not in the store yet.
    n_bytes : int
        Before compression: the most that the run needs on disk, for a dense export with the
        native store that it is made from.
    stored_bytes : int
        What they take on disk in the end, compressed as the rows of the probe were.
    free_bytes : int, optional
        On the disk of the store.
    peak_memory : int
        Bytes that the process has resident at most, interpreter and libraries included; what lies
        in a GPU's memory does not count.
    seconds : float
        At the pace of the probe.
    """

    store: str
    images: int
    rows: int
    n_bytes: int
    stored_bytes: int
    free_bytes: int | None
    peak_memory: int
    seconds: float
