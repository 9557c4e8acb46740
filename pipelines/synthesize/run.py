"""``dseg synthesize``: draw images, segment and score them, a few at a time.

Memory holds one batch of images: each is written before the next batch is drawn.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ...extract.images.files import ImageFiles
from ...extract.networks.devices import choose_device
from ...generate.drawer import Drawer, open_drawer
from ...generate.folder import SampleFolder, name_of
from ...generate.noise import MAX_SEED
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import claimed
from ...store.errors import InputError
from ...store.names import stem_of
from ..console.disk_space import refuse_too_large
from ..console.progress import Advance, Progress
from ..features.sources import ImageFilesSource, Segmentable
from ..inputs.image_list import named
from ..masks.mask_folder import fingerprint
from ..masks.mask_model import ImageOptions, MaskModel, Segment
from ..masks.open_model import open_mask_model
from ..masks.segmenter import segmented
from ..training.memory import return_freed_memory
from .config import SynthesizeConfig, SynthesizeSummary
from .filtering import kept
from .folder import IMAGES, SyntheticFolder
from .target import SyntheticImage, Target
from .zarr_target import SyntheticStore

__all__ = ["synthesize"]

_PROBED = 2  # batches
_BYTES_PER_PIXEL = 3 + 2 + 4  # image, mask, uncertainty, at most


def synthesize(config: SynthesizeConfig, progress: Progress | None = None) -> SynthesizeSummary:
    """Draw images with masks and uncertainty; go on where an earlier run stopped.

    Raises
    ------
    DsegError
        If the checkpoint cannot draw, the model cannot tell uncertainty, its features are of
        another generator, or something else stands at ``out``.
    """
    started, progress = time.monotonic(), progress or Progress()
    return_freed_memory()
    device = choose_device(config.settings.device)
    if config.seed + config.count - 1 > MAX_SEED:
        raise InputError(f"seeds end at {MAX_SEED}: give a smaller --seed")
    model = open_mask_model(config.model, device)
    if model.members < 2:
        raise InputError(
            f"the model '{config.model}' has one member, but uncertainty, by which images are "
            "filtered, is how far members disagree: fit one with more --members"
        )
    drawer = open_drawer(_checkpoint(config, model), config.checkpoint_options, config.settings)
    progress.say(drawer.words)
    run = _Run(config, model, drawer, device, progress)
    if config.dry_run:
        return run.estimate()
    with _claimed(config.out, progress):
        return run.work(started)


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


@contextmanager
def _claimed(out: Path, progress: Progress) -> Iterator[None]:
    tidy = partial(remove_temporary_files, out)
    if out.exists() and not out.is_dir():
        raise InputError(
            f"'{out}' is a file: give a folder, or a name that ends in .zarr, as --out"
        )
    with claimed(out, None, "dseg synthesize", tidy=tidy, warn=progress.warn):
        yield


class _Run:
    """What a run draws with, and where it writes."""

    def __init__(
        self,
        config: SynthesizeConfig,
        model: MaskModel,
        drawer: Drawer,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.config, self.model, self.drawer = config, model, drawer
        self.device, self.progress = device, progress
        self.sampled = {**drawer.facts(), "first_seed": config.seed}
        self.facts = {
            **self.sampled,
            "model": str(config.model),
            "model_sha256": fingerprint(config.model),
        }
        self.batch = config.batch_size or drawer.batch_size
        self._warn_of_another_generator()

    def work(self, started: float) -> SynthesizeSummary:
        """Make the images that are not there yet, and choose which are kept."""
        config = self.config
        target, images = self._target()
        todo = [number for number in range(config.count) if number not in target.scores]
        _, height, width = self.drawer.shape
        n_bytes = len(todo) * height * width * _BYTES_PER_PIXEL
        refuse_too_large(n_bytes, config.out, "a smaller --count or --size")
        self.progress.say(
            f"{len(todo)} images to make, {len(self.model.classes)} classes, "
            f"{self.model.members} members on {self.device}"
        )
        self._make(target, images, todo)
        scores = {number: target.scores[number] for number in range(config.count)}
        numbers = kept(scores, config.rule, config.dropped)
        target.keep(numbers)
        shown = dict(zip(self.model.classes.names, target.shown(numbers), strict=True))
        self._warn(numbers, shown)
        return SynthesizeSummary(
            str(config.out),
            config.count,
            made=len(todo),
            unchanged=config.count - len(todo),
            kept=len(numbers),
            classes=shown,
            seconds=time.monotonic() - started,
        )

    def _target(self) -> tuple[Target, Path | None]:
        """Return what is written to, and the folder of images where it has one."""
        config, classes = self.config, self.model.classes
        if config.out.suffix == ".zarr":
            size = self.drawer.shape[1:]
            store = SyntheticStore.open(
                config.out, self.facts, classes, config.count, size, overwrite=config.overwrite
            )
            return store, None
        folder = SyntheticFolder.open(config.out, self.facts, classes, overwrite=config.overwrite)
        return folder, config.out / IMAGES

    def _make(self, target: Target, images: Path | None, todo: Sequence[int]) -> None:
        """Draw, segment and write; what has no folder of images is drawn into a temporary one."""
        label, steps = f"make {len(todo)} images", self.drawer.steps
        with (
            TemporaryDirectory() as temporary,
            self.progress.bar(label, len(todo) * steps, "steps") as advance,
        ):
            drawn = SampleFolder(images or Path(temporary), self.sampled)
            drawn.begin()
            segment, source = self._segmenter(drawn.path, todo)
            for first in range(0, len(todo), self.batch):
                batch = todo[first : first + self.batch]
                for one in self._segmented(batch, drawn, segment, source, advance):
                    target.write(one)
                    if images is None:
                        (drawn.path / name_of(one.number)).unlink()
            drawn.finish()

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
            drawn.add(number, pixels[k])
            place[stem_of(name_of(number))] = k
        for image in source.images(list(place), lambda *_: False):
            assert isinstance(image, Segmentable)  # none is done already
            k = place[image.stem]
            yield SyntheticImage(numbers[k], seeds[k], pixels[k], segmented(segment, image))

    def _segmenter(self, folder: Path, numbers: Sequence[int]) -> tuple[Segment, ImageFilesSource]:
        names = [name_of(number) for number in numbers]
        files = ImageFiles(f"'{folder}'", {name: folder / name for name in names})
        options = ImageOptions(self.config.features, self.config.backbone)
        source = self.model.images(files, options, self.progress)
        return self.model.segmenter(source), source

    def estimate(self) -> SynthesizeSummary:
        """Make a few images in a temporary folder, and scale up."""
        config, numbers = self.config, range(min(self.config.count, _PROBED * self.batch))
        with TemporaryDirectory() as temporary:
            path = Path(temporary) / "probe"
            target = SyntheticFolder.open(path, self.facts, self.model.classes, overwrite=False)
            start = time.monotonic()
            self._make(target, path / IMAGES, numbers)
            took = time.monotonic() - start
            n_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        share = config.count / len(numbers)
        return SynthesizeSummary(
            str(config.out), config.count, seconds=took * share, n_bytes=int(n_bytes * share)
        )

    def _warn_of_another_generator(self) -> None:
        drawn_by = self.sampled["checkpoint_sha256"]
        others = [one.source for one in self.model.networks if one.noise and one.sha256 != drawn_by]
        if others:
            self.progress.warn(
                f"the model's features are of {named(others)}, another diffusion model than "
                f"'{self.sampled['checkpoint']}', which draws the images: its images may be unlike "
                "those that the model was trained on"
            )

    def _warn(self, numbers: Sequence[int], shown: dict[str, int]) -> None:
        if not numbers:
            self.progress.warn(
                f"the published rule keeps none of {self.config.count} images: it leaves out the "
                "30 most certain ones and a share of the least certain. Draw more, or use "
                "--filter certain"
            )
            return
        absent = [name for name, count in shown.items() if not count]
        if absent:
            self.progress.warn(
                f"none of the {len(numbers)} kept images shows {named(absent)}: what learns from "
                "these images alone cannot know it"
            )
