"""``dseg sample``: images drawn by a diffusion model, each from its own seed."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ...generate.drawer import Drawer, open_drawer
from ...generate.folder import SampleFolder
from ...generate.noise import MAX_SEED
from ...generate.sheet import is_foreign, write_sheet
from ...store.atomic_folder import remove_temporary_files
from ...store.claims import Claim, claimed
from ...store.errors import DsegError, InputError
from ...store.failed_writes import in_the_end, keeping
from ...store.shared_work import SharedWork
from ..console.disk_space import free_bytes, refuse_too_large
from ..console.progress import Progress
from ..inputs.image_list import shard_of
from ..training.memory import peak_resident, return_freed_memory
from .config import SampleConfig, SampleEstimate, SampleSummary

__all__ = ["sample"]

_ON_SHEET, _SHEET_PIXELS = 64, 2**24
_FILE_BYTES = 1024  # of a PNG beside its pixels, and of its line


def sample(
    config: SampleConfig, progress: Progress | None = None
) -> SampleSummary | SampleEstimate:
    """Draw images into a folder; go on where an earlier run stopped.

    Raises
    ------
    DsegError
        If the checkpoint cannot draw images, the settings do not fit it, the folder holds something
        else or images drawn in another way, or the disk is too small.
    """
    started, progress = time.monotonic(), progress or Progress()
    return_freed_memory()
    _refuse_contradictions(config)
    with progress.step("load the network"):
        drawer = open_drawer(config.checkpoint, config.checkpoint_options, config.settings)
    progress.say(drawer.words)
    facts = {**drawer.facts(), "first_seed": config.seed}
    if config.dry_run:
        return _estimate(config, drawer, SampleFolder(config.out, facts))
    with _claimed(config, facts, progress) as claim:
        folder = SampleFolder(config.out, facts, claim.exclusive)
        todo = _todo(config, folder)
        refuse_too_large(_n_bytes(drawer, len(todo)), config.out, "a smaller --count or --size")
        folder.begin(overwrite=config.overwrite)
        mine = len(shard_of(range(config.count), config.shard))
        summary = SampleSummary(str(config.out), mine, unchanged=mine - len(todo))
        with (
            keeping("What is drawn"),
            in_the_end(folder.finish),
            SharedWork.of(claim.take) as shared,
        ):
            _draw(config, drawer, folder, todo, summary, progress, shared)
        with claim.exclusive():
            summary.sheet = _sheet(config.out, folder, drawer, progress)
    summary.seconds = time.monotonic() - started
    return summary


def _refuse_contradictions(config: SampleConfig) -> None:
    if config.shard and config.overwrite:
        raise InputError(
            "--shard adds a part to the images, so it cannot be combined with --overwrite: each "
            "part would remove what the others drew"
        )
    if config.seed + config.count - 1 > MAX_SEED:
        raise InputError(
            f"image {config.count - 1} would have the seed {config.seed + config.count - 1}, but "
            f"seeds end at {MAX_SEED}: give a smaller --seed"
        )


@contextmanager
def _claimed(config: SampleConfig, facts: dict[str, object], progress: Progress) -> Iterator[Claim]:
    """Keep runs that draw other images out of the folder."""
    known = json.dumps(facts, sort_keys=True).encode()
    key = None if config.overwrite else hashlib.sha256(known).hexdigest()
    tidy = partial(remove_temporary_files, config.out)
    if config.out.exists() and not config.out.is_dir():
        raise InputError(f"'{config.out}' is a file: give a folder for the images with --out")
    with claimed(config.out, key, "dseg sample", tidy=tidy, warn=progress.warn) as claim:
        yield claim


def _todo(config: SampleConfig, folder: SampleFolder) -> list[int]:
    """Return the numbers of the images to draw; refuse what is in the way."""
    folder.check(overwrite=config.overwrite)
    folder.check_replaceable(range(config.count))
    numbers = shard_of(range(config.count), config.shard)
    return [k for k in numbers if config.overwrite or not folder.is_done(k)]


def _n_bytes(drawer: Drawer, images: int) -> int:
    """Return what images take on disk at most."""
    _, height, width = drawer.shape
    return images * (3 * height * width + height + _FILE_BYTES)


def _draw(
    config: SampleConfig,
    drawer: Drawer,
    folder: SampleFolder,
    todo: Sequence[int],
    summary: SampleSummary,
    progress: Progress,
    shared: SharedWork,
) -> None:
    """Draw and write images; leave to others what they began."""
    size, steps = config.batch_size or drawer.batch_size, drawer.steps

    def batch(chosen: Sequence[int]) -> None:
        numbers = [number for number in chosen if is_mine(number)]
        seeds = [config.seed + number for number in numbers]
        images = drawer.draw(seeds, size, advance) if numbers else ()
        for number, image in zip(numbers, images, strict=True):
            summary.n_bytes += folder.add(number, image)
            summary.drawn += 1
            shared.end(str(number))

    def is_mine(number: int) -> bool:
        return shared.begin(str(number), partial(folder.is_done_by_now, number))

    with progress.bar(f"draw {len(todo)} images", len(todo) * steps, "steps") as advance:
        for first in range(0, len(todo), size):
            batch(todo[first : first + size])
        while shared.elsewhere:
            for item in shared.left(progress.say):
                batch([int(item)])


def _sheet(out: Path, folder: SampleFolder, drawer: Drawer, progress: Progress) -> str | None:
    """Write the contact sheet beside the folder, in which it would be taken for an image."""
    named = out if out.name not in ("", "..") else out.resolve()
    path = named.with_name(f"{named.name}-sheet.png")
    if is_foreign(path):
        progress.warn(f"no contact sheet: '{path}' was not written by dseg, so it is kept")
        return None
    _, height, width = drawer.shape
    most = max(1, min(_ON_SHEET, _SHEET_PIXELS // (height * width)))
    try:
        write_sheet(path, folder.images(most))
    except (DsegError, OSError) as error:
        progress.warn(f"no contact sheet: {error}")
        return None
    return str(path)


def _estimate(config: SampleConfig, drawer: Drawer, folder: SampleFolder) -> SampleEstimate:
    """Draw for a moment, write nothing, and scale up."""
    todo = _todo(config, folder)
    size = config.batch_size or drawer.batch_size
    batches = -(-len(todo) // size)
    return SampleEstimate(
        folder=str(config.out),
        images=len(todo),
        seconds=batches * drawer.seconds_a_batch(size),
        n_bytes=_n_bytes(drawer, len(todo)),
        free_bytes=free_bytes(config.out),
        peak_memory=peak_resident(),
    )
