"""Draw images, segment them and write them, one batch at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...extract.images.files import ImageFiles
from ...generate.drawer import Drawer, open_drawer
from ...generate.folder import SampleFolder, name_of
from ...store.errors import InputError
from ...store.failed_writes import keeping
from ...store.names import stem_of
from ..console.progress import Advance, Progress
from ..features.sources import ImageFilesSource, Segmentable
from ..inputs.image_list import named
from ..masks.mask_model import ImageOptions, MaskModel, Segment
from ..masks.open_model import open_mask_model
from ..masks.recipe import fingerprint
from ..masks.segmenter import segmented
from .config import SynthesizeConfig
from .folder import IMAGES, SyntheticFolder
from .target import SyntheticImage, Target
from .zarr_target import SyntheticStore

__all__ = ["Maker"]

Exclusive = Callable[[], AbstractContextManager[None]]


class Maker:
    """A generator and a model, which together make labelled images.

    Memory holds one batch of images: each is written before the next batch is drawn.

    Parameters
    ----------
    config : SynthesizeConfig
    device : torch.device
    progress : Progress

    Attributes
    ----------
    model : MaskModel
    drawer : Drawer
    batch : int
        Images that are drawn together.
    sampled, facts : dict
        What decides each image; with the model, what decides each mask too. Plain JSON values.

    Raises
    ------
    DsegError
        If the checkpoint cannot draw, or the model cannot tell uncertainty, or its features are of
        another generator.
    """

    def __init__(self, config: SynthesizeConfig, device: torch.device, progress: Progress) -> None:
        self.config, self._progress = config, progress
        self.model: MaskModel = open_mask_model(config.model, device)
        if self.model.members < 2:
            raise InputError(
                f"the model '{config.model}' has one member, but uncertainty, by which images are "
                "filtered, is how far members disagree: fit one with more --members"
            )
        checkpoint = _checkpoint(config, self.model)
        self.drawer: Drawer = open_drawer(checkpoint, config.checkpoint_options, config.settings)
        self.batch = config.batch_size or self.drawer.batch_size
        self.sampled: dict[str, Any] = {**self.drawer.facts(), "first_seed": config.seed}
        self.facts: dict[str, Any] = {
            **self.sampled,
            "model": str(config.model),
            "model_sha256": fingerprint(config.model),
        }
        self._network: ImageFilesSource | None = None

    @property
    def in_store(self) -> bool:
        """Whether the images go to a Zarr store."""
        return self.config.out.suffix == ".zarr"

    @property
    def images(self) -> Path | None:
        """The folder of the images where they have one."""
        return None if self.in_store else self.config.out / IMAGES

    def begin(self) -> Target:
        """Go on with what is at ``out``, or begin it.

        Raises
        ------
        InputError
            If something else is there.
        """
        config, classes = self.config, self.model.classes
        if self.in_store:
            size = self.drawer.shape[1:]
            return SyntheticStore.open(
                config.out, self.facts, classes, config.count, size, overwrite=config.overwrite
            )
        return SyntheticFolder.open(config.out, self.facts, classes, overwrite=config.overwrite)

    def target(self, exclusive: Exclusive = nullcontext) -> Target:
        """Return what `begin` has made ready, as it is now.

        Parameters
        ----------
        exclusive : callable
            Context manager that makes other writers wait.
        """
        if self.in_store:
            return SyntheticStore.at(self.config.out)
        return SyntheticFolder(self.config.out, self.model.classes, exclusive)

    def make(
        self,
        target: Target,
        images: Path | None,
        numbers: Sequence[int],
        advance: Advance,
        exclusive: Exclusive = nullcontext,
    ) -> None:
        """Draw, segment and write; what has no folder of images is drawn into a temporary one.

        Parameters
        ----------
        target : Target
        images : path, optional
        numbers : sequence of int
            Of the images; each decides its seed.
        advance : callable
            Is called with steps of the generator.
        exclusive : callable
            Context manager that makes other writers of the folder wait.
        """
        with TemporaryDirectory() as temporary:
            drawn = SampleFolder(images or Path(temporary), self.sampled, exclusive)
            drawn.begin()
            source = self._source(drawn.path, numbers)
            segment = self.model.segmenter(source)
            for first in range(0, len(numbers), self.batch):
                batch = numbers[first : first + self.batch]
                for one in self._segmented(batch, drawn, segment, source, advance):
                    with keeping("What is made"):
                        target.write(one)
                    if images is None:
                        (drawn.path / name_of(one.number)).unlink()

    def finish(self) -> None:
        """Leave one line an image in the folder's records, in their order."""
        if self.images is not None:
            SampleFolder(self.images, self.sampled).finish()

    def _segmented(
        self,
        numbers: Sequence[int],
        drawn: SampleFolder,
        segment: Segment,
        source: ImageFilesSource,
        advance: Advance,
    ) -> Iterator[SyntheticImage]:
        """Yield some images, drawn together."""
        seeds = [self.config.seed + number for number in numbers]
        pixels = self.drawer.draw(seeds, self.batch, advance)
        place = {}
        for k, number in enumerate(numbers):
            with keeping("What is made"):
                drawn.add(number, pixels[k])
            place[stem_of(name_of(number))] = k
        for image in source.images(list(place), lambda *_: False):
            assert isinstance(image, Segmentable)  # none is done already
            k = place[image.stem]
            yield SyntheticImage(numbers[k], seeds[k], pixels[k], segmented(segment, image))

    def _source(self, folder: Path, numbers: Sequence[int]) -> ImageFilesSource:
        """Return the source of drawn images; the network of the features is loaded once."""
        names = [name_of(number) for number in numbers]
        files = ImageFiles(f"'{folder}'", {name: folder / name for name in names})
        if self._network is None:
            options = ImageOptions(self.config.features, self.config.backbone)
            self._network = self.model.images(files, options, self._progress)
        return self._network.of(files)


def _checkpoint(config: SynthesizeConfig, model: MaskModel) -> str:
    """Return what draws: as asked, else the network of the model's features that can."""
    if config.checkpoint is not None:
        return config.checkpoint
    sources = list(dict.fromkeys(one.source for one in model.networks if one.draws))
    if len(sources) != 1:
        which = f"several do ({named(sources)})" if sources else "none does"
        raise InputError(
            f"of the networks of the features of the model '{config.model}' one should draw the "
            f"images, but {which}: name a diffusion model or a StyleGAN with --checkpoint"
        )
    return config.features or sources[0]
