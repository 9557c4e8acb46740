"""The command line of ``dseg pretrain``: parse, call, report."""

from dataclasses import asdict
from typing import Any

import click

from ..console.options import (
    SEED,
    TIME,
    Finite,
    device_option,
    dry_run_option,
    existing_folder,
    folder,
    list_option,
    output_options,
    white_option,
)
from ..console.output import console_of, next_command, report

__all__ = ["pretrain"]


@click.command()
@click.option("--images", type=existing_folder, required=True, help="Folder of images, any size.")
@click.option("--out", type=folder, required=True, help="The checkpoint, a folder: my-ddpm/.")
@click.option("--size", type=click.IntRange(1), help="Side that the network sees (64; --init's).")
@click.option("--time", "seconds", type=TIME, help="Time to train: 30m, 1h30m; by default 1h.")
@click.option("--steps", type=click.IntRange(1), help="Steps to train; with --time, at most.")
@click.option(
    "--init", help="Checkpoint to train further: a guided-diffusion .pt, diffusers folder, hub id."
)
@click.option("--head-channels", type=click.IntRange(1), help="--init .pt: channels a head (64).")
@click.option("--heads", type=click.IntRange(1), help="--init .pt: number of heads instead.")
@click.option(
    "--attention-order",
    type=click.Choice(["legacy", "new"]),
    help="--init .pt: order of the attention weights (legacy).",
)
@click.option("--diffusion-steps", type=click.IntRange(2), help="--init .pt: steps (1000).")
@click.option(
    "--weights", help="Of an --init with several sets of weights, which; by default the averaged."
)
@click.option(
    "--schedule",
    type=click.Choice(["linear", "cosine"]),
    help="Noise schedule (linear); of an --init .pt, the one it was trained with.",
)
@click.option(
    "--network",
    type=click.Choice(["tiny", "small", "base", "large"]),
    help="Size of a new network; by default what fits the number of images.",
)
@click.option(
    "--crop",
    type=Finite(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Least side of random cut-outs, as a part of the image's; 1: whole images.",
)
@click.option("--flip", is_flag=True, help="Mirror every other image, left to right.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Images a step, over all processes.",
)
@click.option(
    "--learning-rate",
    type=Finite(0, min_open=True),
    default=5e-4,
    show_default=True,
    help="At its highest.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of the arithmetic; by default the quickest that is safe.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Compile the network first: takes minutes, then steps are quicker.",
)
@click.option(
    "--save-every",
    "save_seconds",
    type=TIME,
    default="5m",
    show_default=True,
    help="What a kill costs at most.",
)
@click.option("--sheets", type=click.IntRange(0), help="Sheets of samples over the run (up to 4).")
@click.option("--workers", type=click.IntRange(1), help="Threads that decode (one a core).")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Of first weights, order and noise.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Begin anew where --out has a run of other settings, or a finished one.",
)
@white_option
@list_option
@device_option
@dry_run_option
@output_options
def pretrain(**given: Any) -> int:
    """Train a diffusion model on images without labels.

    For images of a kind that no checkpoint was trained on: all that you have, labelled or not. The
    same command again goes on where it stopped, also after a kill; with a longer --time or more
    --steps it goes on beyond its end. Writes a diffusers folder with a card, dseg.json, a log and
    sheets of samples. The older network stays there until the first save of one that --overwrite
    begins.

    \b
    dseg pretrain --images photos/ --out my-ddpm/
    dseg pretrain --images photos/ --out my-ddpm/ --time 8h --flip --crop 0.5
    dseg pretrain --images photos/ --out my-ddpm/ --init lsun_horse.pt --learning-rate 1e-4
    torchrun --nproc-per-node 4 -m dseg pretrain --images photos/ --out my-ddpm/ --size 128
    """
    from ...extract.networks.options import CheckpointOptions
    from ...pretrain.data.images import Augmentation
    from ...pretrain.train.processes import is_first
    from ...pretrain.train.recipe import Recipe
    from ..inputs.image_list import duration
    from .config import PretrainConfig, PretrainEstimate
    from .run import pretrain as run

    console, as_json = console_of(given)
    parts: dict[str, Any] = {
        name: kind(**{key: given.pop(key) for key in keys})
        for name, kind, keys in (
            (
                "init_options",
                CheckpointOptions,
                ("head_channels", "heads", "attention_order", "diffusion_steps", "weights"),
            ),
            ("augmentation", Augmentation, ("crop", "flip")),
            ("recipe", Recipe, ("batch_size", "learning_rate", "seed")),
        )
    }
    summary = run(PretrainConfig(**given, **parts), console)
    if not is_first():
        return 0
    if isinstance(summary, PretrainEstimate):
        text = (
            f"{summary.parameters / 1e6:.1f} million weights for {summary.images} images: "
            f"{summary.steps} steps, {summary.done} of them done, the rest in about "
            f"{duration(summary.seconds)}; {summary.n_bytes / 1e6:.0f} MB; nothing written "
            "(--dry-run)"
        )
        return report(asdict(summary), text, as_json, summary.failed)
    words = ("--images", given["images"], "--out", "feats.zarr", "--checkpoint", summary.checkpoint)
    follows = next_command(console, "extract", *words)
    held_out = summary.held_out_loss
    if summary.note is not None:
        console.warn(summary.note)
    text = (
        f"{summary.checkpoint}: {summary.steps} steps on {summary.images} images in "
        f"{duration(summary.seconds)}"
        + (", finished before" if summary.finished_before else "")
        + ("" if held_out is None else f"; held-out loss {held_out:.4f}")
        + (f". {follows}" if follows else "")
    )
    return report(asdict(summary), text, as_json, summary.failed)
