"""``dseg synthesize``: draw images, segment and score them, and keep those worth learning from."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from ...extract.networks.devices import choose_device
from ...generate.noise import MAX_SEED
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import claimed
from ...store.errors import DsegError, InputError
from ..cluster.client import cluster
from ..cluster.parts import absolute, cut, part_size
from ..cluster.window import TOOK_DOWN, over_cluster
from ..console.disk_space import refuse_too_large
from ..console.progress import Progress
from ..inputs.image_list import named
from ..training.memory import peak_resident, return_freed_memory
from .config import SynthesizeConfig, SynthesizeSummary
from .filtering import kept
from .folder import IMAGES, SyntheticFolder
from .making import Maker
from .part import SynthesizePart, synthesize_part
from .target import Target

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
    maker = Maker(config, device, progress)
    progress.say(maker.drawer.words)
    _check_generator(maker, progress)
    if config.dry_run:
        return _estimate(maker)
    run = uuid4().hex
    with cluster(config.cluster, progress) as client, _claimed(config.out, run, progress):
        target = maker.begin()
        todo = [number for number in range(config.count) if number not in target.scores]
        _, height, width = maker.drawer.shape
        n_bytes = len(todo) * height * width * _BYTES_PER_PIXEL
        refuse_too_large(n_bytes, config.out, "a smaller --count or --size")
        progress.say(
            f"{len(todo)} images to make, {len(maker.model.classes)} classes, "
            f"{maker.model.members} members on {device}"
        )
        label, steps = f"make {len(todo)} images", maker.drawer.steps
        with progress.bar(label, len(todo) * steps, "steps") as advance:
            if client is None:
                maker.make(target, maker.images, todo, advance)
            else:
                for part in _over_cluster(client, maker, run, todo, progress):
                    advance(len(part) * steps)
                target = maker.target()
        maker.finish()
        return _finished(maker, target, len(todo), started, progress)


@contextmanager
def _claimed(out: Path, run: str, progress: Progress) -> Iterator[None]:
    """Keep other runs out of the folder; workers of this one have its name."""
    tidy = partial(remove_temporary_files, out)
    if out.exists() and not out.is_dir():
        raise InputError(
            f"'{out}' is a file: give a folder, or a name that ends in .zarr, as --out"
        )
    with claimed(out, run, "dseg synthesize", tidy=tidy, warn=progress.warn):
        yield


def _over_cluster(
    client: Any, maker: Maker, run: str, numbers: Sequence[int], progress: Progress
) -> Iterator[SynthesizePart]:
    """Have the workers of a cluster do it, a few images at a time; yield parts that are done."""
    config, size = absolute(maker.config), part_size(len(numbers), len(client.nthreads()))
    parts = (SynthesizePart(run, config, maker.facts, tuple(some)) for some in cut(numbers, size))
    for part, done in over_cluster(client, synthesize_part, parts, config.cluster, progress):
        if not done:
            raise DsegError(f"image {part.numbers[0]} cannot be made: {TOOK_DOWN}")
        yield part


def _finished(
    maker: Maker, target: Target, made: int, started: float, progress: Progress
) -> SynthesizeSummary:
    """Choose which images are kept."""
    config = maker.config
    scores = {number: target.scores[number] for number in range(config.count)}
    numbers = kept(scores, config.rule, config.dropped)
    target.keep(numbers)
    shown = dict(zip(maker.model.classes.names, target.shown(numbers), strict=True))
    _warn(config, numbers, shown, progress)
    return SynthesizeSummary(
        str(config.out),
        config.count,
        made=made,
        unchanged=config.count - made,
        kept=len(numbers),
        classes=shown,
        seconds=time.monotonic() - started,
        peak_memory=peak_resident(),
    )


def _estimate(maker: Maker) -> SynthesizeSummary:
    """Make a few images in a temporary folder, and scale up."""
    config, numbers = maker.config, range(min(maker.config.count, _PROBED * maker.batch))
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "probe"
        target = SyntheticFolder.open(path, maker.facts, maker.model.classes, overwrite=False)
        start = time.monotonic()
        maker.make(target, path / IMAGES, numbers, lambda _: None)
        took = time.monotonic() - start
        n_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    share = config.count / len(numbers)
    return SynthesizeSummary(
        str(config.out),
        config.count,
        seconds=took * share,
        n_bytes=int(n_bytes * share),
        peak_memory=peak_resident(),
    )


def _check_generator(maker: Maker, progress: Progress) -> None:
    """Refuse, or warn of, features of another generator than the one that draws."""
    drawn_by, checkpoint = (maker.sampled[key] for key in ("checkpoint_sha256", "checkpoint"))
    foreign = [one for one in maker.model.networks if one.draws and one.sha256 != drawn_by]
    strict = [one.source for one in foreign if one.latents]
    if strict:
        raise InputError(
            f"the features of the model '{maker.config.model}' are of {named(strict)}, a StyleGAN, "
            f"which has features of its own images only, but '{checkpoint}' draws: leave out "
            "--checkpoint"
        )
    others = [one.source for one in foreign]
    if others:
        progress.warn(
            f"the model's features are of {named(others)}, another diffusion model than "
            f"'{checkpoint}', which draws the images: its images may be unlike those that the "
            "model was trained on"
        )


def _warn(
    config: SynthesizeConfig, numbers: Sequence[int], shown: dict[str, int], progress: Progress
) -> None:
    if not numbers:
        progress.warn(
            f"the published rule keeps none of {config.count} images: it leaves out the 30 most "
            "certain ones and a share of the least certain. Draw more, or use --filter certain"
        )
        return
    absent = [name for name, count in shown.items() if not count]
    if absent:
        progress.warn(
            f"none of the {len(numbers)} kept images shows {named(absent)}: what learns from these "
            "images alone cannot know it"
        )
