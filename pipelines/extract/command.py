"""The command line of ``dseg extract``: parse, call, report."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import click
from click.core import ParameterSource

from ...extract.checkpoints.builtin import BUILTIN, FILTERS, IMAGENET
from ..cluster.client import ClusterOptions
from ..console.options import (
    checkpoint_options,
    cluster_options,
    device_option,
    dry_run_option,
    list_option,
    output_options,
    overwrite_option,
    resources_option,
    white_option,
)
from ..console.output import console_of, next_command, report
from ..console.places import existing_path_or_url, folder_or_url, storage_option
from ..console.progress import Console
from ..console.unused_options import refuse_idle, written
from ..console.values import NUMBERS, SEED, SHARD, SIZES, existing_folder
from ..inputs.reading_options import reading_options, taken_choice

__all__ = ["extract"]

_READ = ("bands", "plane", "levels")


@click.command()
@click.option(
    "--images",
    type=existing_path_or_url,
    required=True,
    help="Folder of images, or a single image.",
)
@click.option(
    "--out",
    type=folder_or_url,
    required=True,
    help="The feature store to write, such as feats.zarr or s3://bucket/feats.zarr.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    help="The network: a diffusion model (guided-diffusion, MONAI, lucidrains; diffusers folder), "
    "MAE, SwAV, EfficientNet or SAM (.pth), DINO, Swin, … (transformers folder), StyleGAN (.pt; of "
    "images that it drew), a hub id, or what comes with dseg: "
    f"{BUILTIN} (diffusion), {IMAGENET} (ImageNet), {FILTERS} (no network). Default: "
    f"{FILTERS} and {IMAGENET}@256,512, or with --layers-from the model's. Several, each perhaps "
    "at its own sizes (net.pt@256,512), make one store.",
)
@click.option(
    "--layers-from",
    type=existing_folder,
    help="Extract exactly the features that this model of `dseg fit` needs, or that this store "
    "holds. --checkpoint then only gives the new location of their network.",
)
@click.option(
    "--part",
    type=click.IntRange(1),
    help="With --layers-from, if the model was fitted on several stores: the number of the store, "
    "from 1.",
)
@click.option(
    "--backbone",
    help="A network of your own, package.module:factory or the name of an installed one; or the "
    "required kind of the checkpoint, such as mae. Default: detected from its files.",
)
@click.option(
    "--steps", type=NUMBERS, help="Noise timesteps; default: the checkpoint's, or 50,150,250."
)
@click.option(
    "--blocks", type=NUMBERS, help="Blocks (of a U-Net: of its decoder); default: the checkpoint's."
)
@checkpoint_options
@click.option(
    "--size",
    "sizes",
    type=SIZES,
    default=(),
    help="Input size of the network, such as 256 or 192x256; default: the checkpoint's. Several, "
    "256,512: the same network at each.",
)
@click.option(
    "--fit",
    type=click.Choice(["squash", "pad", "tile"]),
    default="squash",
    show_default=True,
    help="How images are brought to the network's size: squashed (aspect ratio not kept), padded, "
    "or cut into overlapping tiles.",
)
@click.option("--tile", "fit", flag_value="tile", help="Same as --fit tile.")
@click.option(
    "--overlap",
    type=click.IntRange(0),
    help="Overlap of neighbouring tiles in pixels (a quarter of the tile).",
)
@click.option(
    "--filters/--no-filters",
    default=None,
    help="Add classical filters (edges, texture) as a layer; default: what the checkpoint's card "
    "recommends.",
)
@click.option(
    "--pixels/--no-pixels",
    default=None,
    help="Add each pixel's colour and position as a layer; default: what the checkpoint's card "
    "recommends.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Number format of the network's computation; the 16-bit formats are faster on GPUs and "
    "give slightly different features.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the noise.")
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Average over this many draws of the noise; each draw costs one pass of the network.",
)
@click.option("--flip", is_flag=True, help="Average with the mirrored image; doubles the cost.")
@click.option("--batch-size", type=click.IntRange(1), help="Images per batch (CPU 1, GPU 8).")
@click.option(
    "--codec",
    type=click.Choice(["lz4", "zstd", "none", "uint8"]),
    default="lz4",
    show_default=True,
    help="Compression; uint8 is lossy.",
)
@click.option(
    "--layout",
    type=click.Choice(["native", "dense"]),
    default="native",
    show_default=True,
    help="dense: the interpolated vector of every pixel, 22 times larger, for other programs.",
)
@click.option("--shard", type=SHARD, help="Process only part i (from 0) of n: for job arrays.")
@click.option(
    "--verify",
    is_flag=True,
    help="Read every chunk of the listed images in the store, and extract damaged images again.",
)
@cluster_options
@resources_option
@white_option
@reading_options
@list_option
@storage_option
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def extract(context: click.Context, /, **given: Any) -> int:
    """Store a network's activations for a folder of images.

    This is the slowest step, needed once per image. Repeat the command to continue an interrupted
    run, or to add new and changed images; other images are kept.

    \b
    dseg extract --images photos/ --out feats.zarr
    dseg extract --images photos/ --out feats.zarr --checkpoint lsun_horse.pt
    dseg extract --images photos/ --out feats.zarr --checkpoint google/ddpm-cat-256 --tile
    dseg extract --images photos/ --out feats.zarr --checkpoint builtin:efficientnet-lite0@256,512
    dseg extract --images new/ --out new.zarr --layers-from model/
    """
    from ...extract.networks.options import BackboneOptions
    from ..inputs.image_list import duration
    from .config import Estimate, ExtractConfig
    from .run import extract as run

    names = [field.name for field in fields(BackboneOptions) if field.name in given]
    if given["layers_from"] is not None:
        # where it runs; which code of one's own may run
        told = ("device", "backbone") if ":" in (given["backbone"] or "") else ("device",)
        decided = [n for n in (*names, "sizes", "fit", "overlap", "white", *_READ) if n not in told]
        _leave_to_model(context, given, decided)
    elif given["fit"] != "tile":
        refuse_idle(context, {"overlap": "only tiles overlap (--tile)"})
    console, as_json = console_of(given)
    given["cluster"] = ClusterOptions.taken_from(given)
    given["reading"] = taken_choice(given)
    backbone = BackboneOptions(**{name: given.pop(name) for name in names if name in given})
    source = context.get_parameter_source
    defaults = frozenset(n for n in names if source(n) is ParameterSource.DEFAULT_MAP)
    summary = run(ExtractConfig(**given, backbone=backbone, optional=defaults), console)
    if isinstance(summary, Estimate):
        text = (
            f"{summary.images} images, {summary.rows} passes of the network: "
            f"{summary.n_bytes / 1e6:.0f} MB before compression, about "
            f"{summary.stored_bytes / 1e6:.0f} MB {_on_disk(summary.free_bytes)}; about "
            f"{duration(summary.seconds)}, "
            f"and {summary.peak_memory / 1e6:.0f} MB of memory for the whole process; "
            "nothing written (--dry-run)"
        )
        return report(asdict(summary), text, as_json)
    if summary.vanished:
        console.warn(f"{len(summary.vanished)} images of the store are no longer in the folder")
    if summary.clipped:
        worst = max(summary.clipped, key=lambda name: summary.clipped[name])
        console.warn(
            f"{sum(summary.clipped.values())} activations of {len(summary.clipped)} images "
            f"were outside of float16's range and were clipped, most of them in '{worst}'"
        )
    size = "" if summary.n_bytes is None else f"{summary.n_bytes / 1e6:.1f} MB, "
    text = (
        f"{summary.store}: {summary.extracted} images extracted, {summary.unchanged} unchanged, "
        f"{len(summary.failed)} failed; {size}{summary.seconds:.0f} s"
    )
    follows = _next(given, console) if summary.extracted + summary.unchanged else ""
    text += f". {follows}" if follows else ""
    return report(asdict(summary), text, as_json, summary.failed)


def _on_disk(free: int | None) -> str:
    return "stored" if free is None else f"on disk, where {free / 1e9:.1f} GB are free"


def _next(given: dict[str, Any], console: Console) -> str:
    """Return what to type next: not of a part, nor of what is for other programs."""
    if given["shard"] or given["part"] is not None or given["layout"] == "dense":
        return ""
    store, model = given["out"], given["layers_from"]
    if model is not None:
        return next_command(console, "predict", store, "--model", model)
    chosen = () if given["list_file"] is None else ("--list", given["list_file"])
    return next_command(console, "fit", store, "labels/", *chosen)


def _leave_to_model(context: click.Context, given: dict[str, Any], decided: Sequence[str]) -> None:
    """Refuse options that the model determines; ignore them if only dseg.toml sets them.

    Its settings, the checkpoint among them, are defaults for extractions without a model. But where
    dseg.toml names the model itself, its other settings contradict it as the command line would.
    """
    source, meant = context.get_parameter_source, {ParameterSource.COMMANDLINE}
    if source("layers_from") is ParameterSource.DEFAULT_MAP:
        meant.add(ParameterSource.DEFAULT_MAP)
    contradictions = [written(context, name) for name in decided if source(name) in meant]
    if contradictions:
        raise click.UsageError(
            f"{', '.join(contradictions)} cannot be combined with --layers-from: the model "
            "determines it. Leave out one of the two",
            context,
        )
    for name in decided:
        del given[name]
    if source("checkpoints") not in meant:
        del given["checkpoints"]
