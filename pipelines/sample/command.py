"""The command line of ``dseg sample``: parse, call, report."""

from dataclasses import asdict
from typing import Any

import click

from ...extract.checkpoints.builtin import BUILTIN
from ..console.generation import gather_generation
from ..console.options import (
    checkpoint_options,
    device_option,
    dry_run_option,
    output_options,
    overwrite_option,
    sampler_options,
)
from ..console.output import console_of, next_command, report
from ..console.values import SEED, SHARD, folder

__all__ = ["sample"]


@click.command()
@click.option(
    "--checkpoint",
    default=BUILTIN,
    show_default=True,
    help="A diffusion model of images: guided-diffusion, MONAI or lucidrains (.pt), diffusers "
    "folder, hub id, or what `dseg pretrain` wrote; or a StyleGAN (.pt).",
)
@click.option("--count", type=click.IntRange(1), required=True, help="Number of images.")
@click.option("--out", type=folder, required=True, help="Output folder of the images.")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of the first image; the next one has the next seed.",
)
@sampler_options
@checkpoint_options
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Images drawn together (CPU 2 per core, GPU 16). On a GPU another number changes pixels "
    "by rounding.",
)
@click.option("--shard", type=SHARD, help="Draw only part i (from 0) of n: for job arrays.")
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def sample(context: click.Context, /, **given: Any) -> int:
    """Draw images with a diffusion model, or a StyleGAN.

    Each image is drawn from a seed of its own: the same seed gives the same image, whichever other
    images are drawn. Repeat the command to continue an interrupted run, or with a larger --count to
    draw more. samples.json in the folder states what they were drawn with, samples.jsonl the seed
    of each; a contact sheet is written beside the folder. The images can be labelled and extracted
    as any others.

    \b
    dseg sample --checkpoint my-ddpm/ --count 40 --out drawn/
    dseg sample --checkpoint my-ddpm/ --count 40 --out drawn/ --sampler ddpm --steps 250
    dseg sample --checkpoint lsun_horse.pt --count 1000 --out drawn/ --shard 0/8
    """
    from ..inputs.image_list import duration
    from .config import SampleConfig, SampleEstimate
    from .run import sample as run

    gather_generation(context, given)
    console, as_json = console_of(given)
    summary = run(SampleConfig(**given), console)
    if isinstance(summary, SampleEstimate):
        text = (
            f"{summary.images} images to draw: about {duration(summary.seconds)}, up to "
            f"{summary.n_bytes / 1e6:.1f} MB on disk, where {summary.free_bytes / 1e9:.1f} GB are "
            f"free, and {summary.peak_memory / 1e6:.0f} MB of memory for the whole process; "
            "nothing written (--dry-run)"
        )
        return report(asdict(summary), text, as_json)
    text = (
        f"{summary.folder}: {summary.drawn} images drawn, {summary.unchanged} unchanged; "
        f"{summary.n_bytes / 1e6:.1f} MB, {summary.seconds:.0f} s"
    )
    if summary.sheet is not None:
        text += f". Contact sheet: {summary.sheet}"
    if given["shard"] is None:
        words = ("--images", summary.folder, "--out", "feats.zarr")
        follows = next_command(console, "extract", *words)
        text += f"\n{follows}" if follows else ""
    return report(asdict(summary), text, as_json)
