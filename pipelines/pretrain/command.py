"""The command line of ``dseg pretrain``: parse, call, report."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..console.options import (
    device_option,
    dry_run_option,
    list_option,
    output_options,
    run_options,
    steps_option,
    white_option,
)
from ..console.output import console_of, next_command, report
from ..console.values import SEED, TIME, Finite, existing_folder, folder
from ..inputs.reading_options import reading_options, taken_choice

if TYPE_CHECKING:  # what it imports is for its run
    from .config import PretrainEstimate, PretrainSummary

__all__ = ["pretrain"]


@click.command()
@click.option("--images", type=existing_folder, required=True, help="Folder of images of any size.")
@click.option(
    "--out", type=folder, required=True, help="Output folder of the checkpoint, such as my-ddpm/."
)
@click.option(
    "--size",
    type=click.IntRange(1),
    help="Input side of the network in pixels (64; with --init, the checkpoint's).",
)
@click.option(
    "--time", "seconds", type=TIME, help="Training time, such as 30m or 1h30m; default: 1h."
)
@steps_option
@click.option(
    "--init", help="Checkpoint to fine-tune: a guided-diffusion .pt, diffusers folder, or hub id."
)
@click.option(
    "--head-channels", type=click.IntRange(1), help="--init .pt: channels per attention head (64)."
)
@click.option(
    "--heads",
    type=click.IntRange(1),
    help="--init .pt: number of attention heads, instead of --head-channels.",
)
@click.option(
    "--attention-order",
    type=click.Choice(["legacy", "new"]),
    help="--init .pt: order of the attention weights (legacy).",
)
@click.option(
    "--diffusion-steps",
    type=click.IntRange(2),
    help="--init .pt: number of timesteps of the noise schedule (1000).",
)
@click.option(
    "--weights",
    help="Which set of weights of --init to use if it has several; default: the averaged weights.",
)
@click.option(
    "--schedule",
    type=click.Choice(["linear", "cosine"]),
    help="Noise schedule (linear); with --init .pt, the schedule it was trained with.",
)
@click.option(
    "--network",
    type=click.Choice(["tiny", "small", "base", "large"]),
    help="Size of a new network; default: by the number of images.",
)
@click.option(
    "--crop",
    type=Finite(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Smallest side of random crops as a fraction of the image's side; 1: whole images.",
)
@click.option("--flip", is_flag=True, help="Mirror every other image horizontally.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Images per step, over all processes.",
)
@click.option(
    "--learning-rate",
    type=Finite(0, min_open=True),
    default=5e-4,
    show_default=True,
    help="Highest learning rate of the run.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Compile the network first: takes minutes, then steps are faster.",
)
@click.option(
    "--sheets",
    type=click.IntRange(0),
    help="Number of sample sheets to draw during the run (up to 4).",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of initial weights, order and noise.",
)
@run_options
@white_option
@reading_options
@list_option
@device_option
@dry_run_option
@output_options
def pretrain(**given: Any) -> int:
    """Train a diffusion model on images without labels.

    For kinds of images that no checkpoint was trained on. Use all images you have, labelled or not.
    If the command is interrupted, repeat it to continue; with a longer --time or more --steps, a
    finished run continues too. Writes a diffusers folder with a card (dseg.json), a log and sheets
    of samples. With --overwrite, the older network is kept until the new one is first saved.

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
    from .config import PretrainConfig, PretrainEstimate
    from .run import pretrain as run

    console, as_json = console_of(given)
    given["reading"] = taken_choice(given)
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
        return report(asdict(summary), _estimate(summary), as_json, summary.failed)
    words = ("--images", given["images"], "--out", "feats.zarr", "--checkpoint", summary.checkpoint)
    follows = next_command(console, "extract", *words)
    if summary.note is not None:
        console.warn(summary.note)
    text = _result(summary) + (f". {follows}" if follows else "")
    return report(asdict(summary), text, as_json, summary.failed)


def _estimate(summary: "PretrainEstimate") -> str:
    from ..inputs.image_list import duration

    return (
        f"{summary.parameters / 1e6:.1f} million weights for {summary.images} images: "
        f"{summary.steps} steps, {summary.done} of them done, the rest in about "
        f"{duration(summary.seconds)}; {summary.n_bytes / 1e6:.0f} MB on disk, and "
        f"{summary.peak_memory / 1e6:.0f} MB of memory for the whole process; nothing written "
        "(--dry-run)"
    )


def _result(summary: "PretrainSummary") -> str:
    from ..inputs.image_list import duration

    held_out = summary.held_out_loss
    return (
        f"{summary.checkpoint}: {summary.steps} steps on {summary.images} images in "
        f"{duration(summary.seconds)}"
        + (", finished before" if summary.finished_before else "")
        + ("" if held_out is None else f"; held-out loss {held_out:.4f}")
    )
