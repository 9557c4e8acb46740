"""The command line of ``dseg synthesize``: parse, call, report."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..cluster.client import ClusterOptions
from ..console.generation import gather_generation
from ..console.options import (
    backbone_option,
    checkpoint_options,
    cluster_options,
    device_option,
    dry_run_option,
    model_option,
    output_options,
    overwrite_option,
    resources_option,
    sampler_options,
)
from ..console.output import console_of, next_command, report
from ..console.unused_options import refuse_idle
from ..console.values import SEED, Finite

__all__ = ["synthesize"]


@click.command()
@model_option
@click.option("--count", type=click.IntRange(1), required=True, help="Number of images.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="synthetic",
    show_default=True,
    help="Output folder; a Zarr store if the name ends in .zarr.",
)
@click.option(
    "--checkpoint",
    help="What draws the images: a diffusion model of images, or a StyleGAN; default: the network "
    "of the model's features.",
)
@click.option("--features", help="New location of the network that the model's features come from.")
@backbone_option
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of the first image; the next one has the next seed.",
)
@click.option(
    "--filter",
    "rule",
    type=click.Choice(["certain", "paper", "all"]),
    default="certain",
    show_default=True,
    help="Which images to keep: all but the least certain ones; as published, which also drops the "
    "30 most certain; or all.",
)
@click.option(
    "--drop",
    "dropped",
    type=Finite(0, 0.99),
    default=0.1,
    show_default=True,
    help="Share of the images to drop, the least certain ones.",
)
@sampler_options
@checkpoint_options
@click.option(
    "--batch-size", type=click.IntRange(1), help="Images drawn together; default as of `sample`."
)
@cluster_options
@resources_option
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def synthesize(context: click.Context, /, **given: Any) -> int:
    """Draw images and segment them: labelled images for training any other network.

    Images are drawn one after the other, segmented by the model and scored by its uncertainty; an
    interrupted run continues, and a larger --count adds images. The folder has images/, labels/
    and classes.txt, as `dseg distil` and `dseg fit` read them, uncertainty/, and kept.txt: the
    stems of the images that the filter keeps.

    \b
    dseg synthesize --count 1000 --out synthetic/
    dseg synthesize --model model/ --checkpoint my-ddpm/ --count 1000 --out synthetic.zarr
    dseg distil synthetic/ --out student/
    """
    from ..inputs.image_list import duration
    from .config import SynthesizeConfig
    from .run import synthesize as run

    gather_generation(context, given)
    given["cluster"] = ClusterOptions.taken_from(given)
    if given["rule"] == "all":
        refuse_idle(context, {"dropped": "--filter all keeps every image"})
    console, as_json = console_of(given)
    summary = run(SynthesizeConfig(**given), console)
    if given["dry_run"]:
        text = (
            f"{summary.images} images to make: about {duration(summary.seconds)} and "
            f"{summary.n_bytes / 1e6:.1f} MB on disk, and {summary.peak_memory / 1e6:.0f} MB of "
            "memory for the whole process; nothing written (--dry-run)"
        )
        return report(asdict(summary), text, as_json)
    text = (
        f"{summary.out}: {summary.made} images made, {summary.unchanged} unchanged, "
        f"{summary.kept} kept; {summary.seconds:.0f} s"
    )
    if summary.kept:
        follows = next_command(console, "distil", summary.out, "--out", "student/")
        text += f"\n{follows}" if follows else ""
    return report(asdict(summary), text, as_json)
