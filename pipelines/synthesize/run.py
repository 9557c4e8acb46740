"""``dseg synthesize``: draw images, segment and score them, a few at a time.

Memory holds one batch of images: each is written before the next batch is drawn.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...extract.images.files import ImageFiles
from ...extract.networks.devices import choose_device
from ...generate.drawer import Drawer, open_drawer
from ...generate.folder import SampleFolder, name_of
from ...generate.noise import MAX_SEED
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import claimed
from ...store.errors import DsegError, InputError
from ...store.names import stem_of
from ..console.progress import Progress
from ..features.sources import Segmentable
from ..inputs.image_list import named
from ..masks.mask_folder import fingerprint
from ..masks.mask_model import ImageOptions, MaskModel
from ..masks.open_model import open_mask_model
from ..training.memory import return_freed_memory
from .config import SynthesizeConfig, SynthesizeSummary
from .filtering import kept
from .folder import IMAGES, SyntheticFolder
from .target import Drawn, Target
from .zarr_target import SyntheticStore

__all__ = ["synthesize"]

_PROBED = 2  # batches


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
    device = choose_device(config.device)
    if config.seed + config.count - 1 > MAX_SEED:
        raise InputError(f"seeds end at {MAX_SEED}: give a smaller --seed")
    model = open_mask_model(config.model, device)
    if model.members < 2:
        raise InputError(
            f"the model '{config.model}' has one member, but uncertainty, by which images are "
            "filtered, is how far members disagree: fit one with more --members"
        )
    drawer, weights = open_drawer(_checkpoint(config, model), config.options, config.settings)
    progress.say(drawer.words)
    if weights is not None:
        progress.say(f"  weights: {weights}")
    run = _Run(config, model, drawer, device, progress)
    if config.dry_run:
        return run.estimate()
    with _claimed(config.out, progress):
        return run.work(started)


def _checkpoint(config: SynthesizeConfig, model: MaskModel) -> str:
    """Return what draws: as asked, else the diffusion model, or network, of the features."""
    if config.checkpoint is not None:
        return config.checkpoint
    networks = [one for one in model.networks if one.noise] or model.networks
    sources = list(dict.fromkeys(one.source for one in networks))
    if len(sources) != 1:
        raise InputError(
            f"the features of the model '{config.model}' are of several networks "
            f"({named(sources)}): say with --checkpoint what draws the images"
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
        self._check_disk()
        target, in_place = self._target()
        todo = [number for number in range(config.count) if number not in target.scores]
        self._describe(len(todo))
        with self._staging(in_place) as staging:
            self._make(target, staging, todo)
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

    @contextmanager
    def _staging(self, images: Path | None) -> Iterator[SampleFolder]:
        """Yield the folder that images are drawn into: a temporary one for a store."""
        with TemporaryDirectory() as temporary:
            path = images or Path(temporary)
            path.mkdir(parents=True, exist_ok=True)
            folder = SampleFolder(path, self.sampled)
            folder.begin()
            yield folder
            folder.finish()

    def _make(self, target: Target, staging: SampleFolder, todo: Sequence[int]) -> None:
        label = f"make {len(todo)} images"
        steps = self.drawer.steps
        with self.progress.bar(label, len(todo) * steps, "steps") as advance:
            segment, source = self._segmenter(staging.path, todo)
            for first in range(0, len(todo), self.batch):
                numbers = todo[first : first + self.batch]
                seeds = [self.config.seed + number for number in numbers]
                images = self.drawer.draw(seeds, self.batch, advance)
                by_stem = {}
                for number, seed, pixels in zip(numbers, seeds, images, strict=True):
                    staging.add(number, pixels)
                    by_stem[stem_of(name_of(number))] = number, seed, pixels
                for image in source.images(list(by_stem), lambda *_: False):
                    assert isinstance(image, Segmentable)  # none is done already
                    target.write(Drawn(*by_stem[image.stem], _segmented(segment, image)))

    def _segmenter(self, folder: Path, numbers: Sequence[int]) -> tuple[Any, Any]:
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
            with self._staging(path / IMAGES) as staging:
                self._make(target, staging, numbers)
            took = time.monotonic() - start
            n_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        share = config.count / len(numbers)
        return SynthesizeSummary(
            str(config.out), config.count, seconds=took * share, n_bytes=int(n_bytes * share)
        )

    def _describe(self, todo: int) -> None:
        self.progress.say(
            f"{todo} images to make, {len(self.model.classes)} classes, "
            f"{self.model.members} members on {self.device}"
        )

    def _check_disk(self) -> None:
        """Refuse before the first image what cannot fit."""
        out = self.config.out.absolute()
        free = shutil.disk_usage(next(p for p in (out, *out.parents) if p.exists())).free
        _, height, width = self.drawer.shape
        wanted = self.config.count * height * width * (3 + 2 + 4)
        if wanted > free:
            raise DsegError(
                f"up to {wanted / 1e6:.0f} MB are needed but {free / 1e6:.0f} MB are free at "
                f"'{self.config.out}': choose another disk, or a smaller --count"
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


def _segmented(segment: Any, image: Segmentable) -> Any:
    try:
        return segment(image, want_uncertainty=True)
    except InputError:
        raise
    except DsegError as error:
        raise DsegError(f"'{image.name}' cannot be segmented: {error}") from error
