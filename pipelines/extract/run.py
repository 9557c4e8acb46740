"""``dseg extract``: the network's pass over a folder of images, into a feature store."""

import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath

from ...extract.concatenated import ConcatenatedBackbone
from ...extract.feature_spec import feature_spec
from ...extract.images.files import ImageFiles, find_images
from ...extract.images.levels import FULL
from ...extract.protocol import Backbone
from ...extract.registry import KINDS
from ...store.atomic_folder import finish_replacement, is_free, replace_folder
from ...store.claims import claimed
from ...store.errors import DsegError, InputError
from ...store.format.layout import initial_attributes, open_group, read_header, store_bytes
from ...store.geometry import plan_tiles
from ...store.names import composed, stem_of
from ...store.read.reader import FeatureStore
from ...store.spec import FeatureSpec
from ...store.write.dense import dense_bytes, export_dense
from ...store.write.writer import FeatureWriter, PlannedImage, plan_store
from ..console.progress import Progress
from ..features.inference import (
    Job,
    Refused,
    TileActivations,
    Unchanged,
    activations,
    decoded,
    tile_batch_size,
)
from ..features.sources import white_of
from ..features.store_writer import ThreadedWriter
from ..inputs.image_list import named, read_list, select, shard_of
from ..inputs.image_survey import (
    ImageSurvey,
    detect_white,
    report_skipped_files,
    survey_images,
    warn_if_dark,
)
from ..training.memory import peak_resident, return_freed_memory
from .config import Estimate, ExtractConfig, ExtractSummary
from .dry_run import probe_of
from .feature_choice import features_of
from .mending import to_mend

__all__ = ["extract"]

_LABEL_FOLDERS = {"annotations", "labels", "masks", "overlays"}


def extract(config: ExtractConfig, progress: Progress | None = None) -> ExtractSummary | Estimate:
    """Extract the activations of a folder of images.

    Images that cannot be read are recorded in the summary, and the run goes on.

    Raises
    ------
    DsegError
        If there are no images, the checkpoint cannot be used, the store has another recipe, or the
        disk is too small.
    """
    started, progress = time.monotonic(), progress or Progress()
    return_freed_memory()
    _refuse_contradictions(config)
    files = find_images([config.images])
    report_skipped_files(files, progress)
    found = _find(config, files)
    mine = set(shard_of(list(found), config.shard))
    backbone, spec = features_of(config)
    _describe(backbone, spec, progress)
    _warn_of_labels(found, progress)
    survey = survey_images(found, progress)
    planned, unreadable = _planned(survey)
    survey.warn_about_pages(progress)
    existing = _existing(config)
    spec = _with_white(config, spec, backbone, existing, survey, progress)
    asked = {name: image for name, image in planned.items() if name in mine}
    stems = {image.stem for image in asked.values()}
    again = to_mend(existing, stems, progress, verify=config.verify) if existing else set()
    todo = _todo(existing, asked, again)
    _check_disk(config, _n_bytes(config, spec, _rows(spec, todo)))
    batch = tile_batch_size(config.batch_size, backbone)
    if config.dry_run:
        loading = time.monotonic() - started
        return _estimate(config, spec, backbone, found, todo, existing, batch, loading)
    summary = ExtractSummary(str(config.out), len(mine))
    summary.failed = {name: why for name, why in unreadable.items() if name in mine}
    with _claimed(config, spec, progress), _target(config, spec, progress) as target:
        plan = plan_store(
            target, spec, list(planned.values()), codec=config.codec, say=progress.say
        )
        if plan.codec != config.codec:
            progress.say(f"'{target}' exists already and keeps its codec, '{plan.codec}'")
        _drop_unreadable(target, summary.failed, plan.vanished)
        if not (config.list_file or config.shard):
            names = {composed(name) for name in found}
            summary.vanished = tuple(name for name in plan.vanished if composed(name) not in names)
        if existing is None:  # what a killed run has left beside the store
            again = to_mend(FeatureStore.open(target), stems, progress, verify=config.verify)
        summary.damaged = len(again)
        jobs = [_job(plan.indices[name], found[name], i, spec) for name, i in asked.items()]
        writer = FeatureWriter(target)
        for number in again:
            writer.mark_incomplete(number)
        _work(jobs, writer, backbone, batch, summary, progress)
    summary.n_bytes = sum(f.stat().st_size for f in config.out.rglob("*") if f.is_file())
    summary.seconds = time.monotonic() - started
    return summary


def _refuse_contradictions(config: ExtractConfig) -> None:
    if config.shard and (config.overwrite or config.layout == "dense"):
        raise InputError(
            "--shard adds a part to a native store, so it cannot be combined with "
            "--overwrite or --layout dense: each part would replace what the others wrote"
        )
    if config.verify and (config.overwrite or config.layout == "dense"):
        raise InputError(
            "--verify checks an existing store, so it cannot be combined with --overwrite or "
            "--layout dense, which make a new one"
        )


def _find(config: ExtractConfig, files: ImageFiles) -> dict[str, Path]:
    """Return the images asked for, by name within the folder."""
    if config.list_file is None:
        return files.files
    stems = files.by_stem
    chosen = select(list(stems), read_list(config.list_file), f"images in {files.where}")
    return {stems[stem]: files.files[stems[stem]] for stem in chosen}


def _with_white(
    config: ExtractConfig,
    spec: FeatureSpec,
    backbone: Backbone,
    existing: FeatureStore | None,
    survey: ImageSurvey,
    progress: Progress,
) -> FeatureSpec:
    """Return the recipe with the white of images of 16 bits a channel: told, kept, or found."""
    fixed = spec if config.layers_from is not None else existing.spec if existing else None
    n = len(survey.sizes)
    if config.white is not None:
        white = config.white
    elif fixed is None:
        white = detect_white(survey.deep, n, progress)
    else:
        white = white_of(fixed)
        if white == FULL:
            what = "the model" if config.layers_from is not None else f"'{config.out}'"
            advice = "extract them into a separate store with --white {0}, and fit a model on it"
            warn_if_dark(survey.deep, n, what, advice, progress)
    return feature_spec(backbone, spec.fit, spec.overlap, white)


def _describe(backbone: Backbone, spec: FeatureSpec, progress: Progress) -> None:
    several = backbone.backbones if isinstance(backbone, ConcatenatedBackbone) else (backbone,)
    for one, part in zip(several, spec.parts or (spec,), strict=True):
        _describe_network(one, part, progress)
    if spec.parts:
        progress.say(
            f"  together {spec.dims} channels per pixel, {spec.bytes_per_row / 1e6:.1f} MB per pass"
        )


def _describe_network(backbone: Backbone, spec: FeatureSpec, progress: Progress) -> None:
    height, width = spec.row_shape
    at = f" at steps {', '.join(map(str, spec.steps))}" if spec.steps else ""
    blocks = f", blocks {', '.join(map(str, spec.blocks))}{at}" if spec.blocks else ""
    progress.say(
        f"{backbone.source}: "
        f"{KINDS[spec.backbone['kind']]}{blocks}{''.join(f', {name}' for name in spec.extras)}; "
        f"{spec.dims} channels per pixel; network input {height}x{width}, "
        f"{spec.bytes_per_row / 1e6:.1f} MB per pass; on {backbone.device}"
    )
    network, told = backbone.describe(), []
    architecture, schedule = network["architecture"], network.get("schedule")
    if schedule is not None:
        told.append(f"{schedule['name']} schedule of {schedule['timesteps']} steps")
        for key in ("head_channels", "heads", "attention_order"):  # what a .pt cannot show
            if architecture.get(key) is not None:
                told.append(f"{key.replace('_', ' ')} {architecture[key]}")
    if backbone.weights is not None:
        told.append(backbone.weights)
    if told:
        progress.say(f"  settings: {', '.join(told)}")


def _warn_of_labels(found: Mapping[str, Path], progress: Progress) -> None:
    """Warn where label maps or masks are about to be taken for photographs."""
    beside = [name for name in found if _LABEL_FOLDERS & set(PurePosixPath(name).parts[:-1])]
    if beside:
        progress.warn(
            f"{len(beside)} of {len(found)} images are in folders named like label maps or "
            f"masks, such as {named(beside[:1])}: is --images the right folder?"
        )


def _planned(survey: ImageSurvey) -> tuple[dict[str, PlannedImage], dict[str, str]]:
    """Return the images with their sizes, and the reasons of those that have none."""
    planned, unreadable = {}, dict(survey.refused)
    for name, size in survey.sizes.items():
        try:
            name.encode()
            planned[name] = PlannedImage(name, size)
        except UnicodeEncodeError:
            unreadable[name] = (
                "its name is not valid UTF-8, which a store requires: rename the file"
            )
    if not planned:
        raise DsegError(
            f"none of the {len(unreadable)} images can be read. The first error: "
            f"{next(iter(unreadable.values()))}"
        )
    return planned, unreadable


def _drop_unreadable(target: Path, failed: Mapping[str, str], vanished: Iterable[str]) -> None:
    """Record in the store which of its images cannot be read any more: what it holds is of old."""
    reasons = {stem_of(name): reason for name, reason in failed.items()}
    names = [name for name in vanished if stem_of(name) in reasons]
    if names:
        numbers = {image.name: image.index for image in FeatureStore.open(target).images}
        writer = FeatureWriter(target)
        for name in names:
            writer.fail_image(numbers[name], reasons[stem_of(name)])


def _rows(spec: FeatureSpec, planned: Mapping[str, PlannedImage]) -> int:
    return sum(
        len(plan_tiles(image.size, spec.row_shape, spec.fit, spec.overlap).offsets)
        for image in planned.values()
    )


def _free(out: Path) -> int:
    return shutil.disk_usage(next(p for p in out.absolute().parents if p.exists())).free


def _n_bytes(config: ExtractConfig, spec: FeatureSpec, rows: int) -> int:
    """Return the size before compression; a dense export is made from a native store beside it."""
    dense = dense_bytes(spec, rows) if config.layout == "dense" else 0
    return store_bytes(spec, rows) + dense


def _existing(config: ExtractConfig) -> FeatureStore | None:
    """Return the store that a run would go on with, if there is one.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    if config.overwrite or config.layout == "dense" or not (config.out / "zarr.json").is_file():
        return None
    if open_group(config.out).attrs.asdict() == initial_attributes():
        return None
    with suppress(InputError):  # a dense export, of which planning says more
        return FeatureStore.open(config.out)
    return None


def _todo(
    existing: FeatureStore | None, planned: Mapping[str, PlannedImage], again: Collection[int]
) -> dict[str, PlannedImage]:
    """Return the images that a store does not hold whole; changed ones take no room of their own.

    Those to be extracted ``again`` are given by their numbers.
    """
    stored = existing.images if existing else ()
    done = {image.stem for image in stored if image.complete and image.index not in again}
    return {name: image for name, image in planned.items() if image.stem not in done}


def _check_disk(config: ExtractConfig, wanted: int) -> None:
    """Refuse before the first byte what cannot fit."""
    free = _free(config.out)
    if wanted > free:
        raise DsegError(
            f"up to {wanted / 1e9:.1f} GB are needed but {free / 1e9:.1f} GB are free at "
            f"'{config.out}': choose fewer --blocks or --steps, or another disk"
        )


@contextmanager
def _claimed(config: ExtractConfig, spec: FeatureSpec, progress: Progress) -> Iterator[None]:
    """Keep runs that make another store out; those that add to the same one may go on together."""
    replaces = config.overwrite or config.layout == "dense"
    key = None if replaces else spec.hash
    tidy = partial(_tidy, config.out, progress, goes_on=replaces)
    with claimed(config.out, key, "dseg extract", in_parent=True, tidy=tidy, warn=progress.warn):
        yield


def _tidy(out: Path, progress: Progress, *, goes_on: bool) -> None:
    """Make an end of what killed runs left, but for a native store that the same run goes on with.

    It may be hours of work, so it is told of where another run comes. A dense one is made anew.
    """
    native, dense = _beside(out)
    for made in (native, dense):
        finish_replacement(made, out)
    shutil.rmtree(dense, ignore_errors=True)
    if native.exists() and not goes_on:
        progress.warn(
            f"'{native}' was left by an interrupted run with --overwrite or --layout dense: "
            f"repeat that command to continue it, or remove '{native.name}'"
        )


def _beside(out: Path) -> tuple[Path, Path]:
    """Return where a store that is to be replaced, or its dense form, is made."""
    return out.with_name(f".{out.name}.native"), out.with_name(f".{out.name}.dense")


@contextmanager
def _target(config: ExtractConfig, spec: FeatureSpec, progress: Progress) -> Iterator[Path]:
    """Yield the native store to write: the one asked for, or one beside it that leads to it.

    What is there is replaced only once its replacement is complete.
    """
    dense, out = config.layout == "dense", config.out
    taken = not is_free(out)
    if taken and config.overwrite:
        read_header(open_group(out), f"'{out}'")  # never remove what is not ours
    elif taken and dense:
        raise InputError(f"'{out}' exists already: give another --out, or use --overwrite")
    if not dense and not (taken and config.overwrite):
        yield out
        return
    native, made_dense = _beside(out)
    _remove_other(native, spec)
    yield native
    made = native
    if dense:
        made, store = made_dense, FeatureStore.open(native)
        with progress.bar("dense", store.n_rows, "rows") as advance:
            export_dense(store, made, overwrite=True, advance=advance)  # one of a killed run
    replace_folder(made, out)
    shutil.rmtree(native, ignore_errors=True)


def _remove_other(native: Path, spec: FeatureSpec) -> None:
    """Remove what a killed run of another recipe has left: nobody can go on with it."""
    if not (native / "zarr.json").is_file():
        return
    group = open_group(native)
    if "spec" in group.attrs and read_header(group, f"'{native}'").spec.hash != spec.hash:
        shutil.rmtree(native)


def _job(number: int, path: Path, image: PlannedImage, spec: FeatureSpec) -> Job:
    geometry = plan_tiles(image.size, spec.row_shape, spec.fit, spec.overlap)
    shapes = tuple(part.row_shape for part in spec.parts)
    return Job(number, image.name, path, geometry, shapes)


def _work(
    jobs: list[Job],
    writer: FeatureWriter,
    backbone: Backbone,
    batch: int,
    summary: ExtractSummary,
    progress: Progress,
) -> None:
    """Decode, run the network and write, each beside the others."""
    white = white_of(writer.spec)
    images = decoded(jobs, lambda job, sha256: writer.is_current(job.number, sha256), white=white)
    with (
        progress.bar("extract", len(jobs), "images") as advance,
        ThreadedWriter(writer, summary, advance) as writing,
    ):
        for event in activations(images, backbone, writer.spec, batch):
            match event:
                case Unchanged():
                    summary.unchanged += 1
                    advance(1)
                case Refused():
                    writing.fail(event)
                case TileActivations():
                    writing.add_tile(event)


def _estimate(
    config: ExtractConfig,
    spec: FeatureSpec,
    backbone: Backbone,
    found: Mapping[str, Path],
    todo: Mapping[str, PlannedImage],
    existing: FeatureStore | None,
    batch: int,
    loading: float,
) -> Estimate:
    """Extract a few images, write nothing, and scale up."""
    codec, dense = existing.codec if existing else config.codec, config.layout == "dense"
    probe = probe_of(found, todo, backbone, spec, batch, codec, dense=dense)
    rows = _rows(spec, todo)
    return Estimate(
        store=str(config.out),
        images=len(todo),
        rows=rows,
        n_bytes=_n_bytes(config, spec, rows),
        stored_bytes=probe.stored_bytes(len(todo), rows, new=existing is None),
        free_bytes=_free(config.out),
        peak_memory=peak_resident(),
        seconds=loading + probe.pace.seconds(rows),
    )
