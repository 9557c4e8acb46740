"""What command lines are made of: types that check, options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .values import (
    BYTES,
    NAMES,
    RESOURCES,
    SEED,
    SIZE,
    TIME,
    Finite,
    existing_file,
    existing_folder,
)

__all__ = [
    "backbone_option",
    "checkpoint_options",
    "cluster_options",
    "device_option",
    "dry_run_option",
    "ignore_option",
    "layers_option",
    "list_option",
    "memory_option",
    "model_option",
    "min_size_option",
    "output_options",
    "overwrite_option",
    "resources_option",
    "run_options",
    "sampler_options",
    "steps_option",
    "training_options",
    "unreadable_option",
    "white_option",
]

F = TypeVar("F", bound=Callable[..., Any])

backbone_option = click.option(
    "--backbone",
    help="The network of your own that the model's features come from, package.module:factory, if "
    "it is not an installed one.",
)
list_option = click.option(
    "--list",
    "list_file",
    type=existing_file,
    help="Use only these images: a text file with one stem (file name without extension) or "
    "path per line.",
)
device_option = click.option(
    "--device", help="cpu, cuda, cuda:1, mps, …; default: a GPU if there is one."
)
model_option = click.option(
    "--model",
    type=existing_folder,
    default="model",
    show_default=True,
    help="Folder of the model, from `dseg fit`.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace existing output.")
dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Only report what the run would do, and the disk space, memory and time it would take.",
)
white_option = click.option(
    "--white",
    type=click.IntRange(1, 65535),
    help="Value of white in images of 16 bits per channel, such as 4095 for 12-bit data; default: "
    "found from all images, or the value stored with the features.",
)
layers_option = click.option(
    "--layers",
    type=NAMES,
    help="Use only these layers of the store, such as 50:6,150:8,pixels: step:block, as `dseg "
    "info` lists them; 2/50:6 is a layer of the second store.",
)
ignore_option = click.option(
    "--ignore", type=int, default=255, show_default=True, help="Id of unlabelled pixels."
)
memory_option = click.option(
    "--memory",
    type=BYTES,
    help="Memory to use at most, such as 4GB; default: half of what is free.",
)

min_size_option = click.option(
    "--min-size",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="PIXELS",
    help="Let objects and holes of fewer pixels become part of what is around them.",
)


def unreadable_option(default: str) -> Callable[[F], F]:
    """Return the option that says what becomes of an image that cannot be read."""
    return click.option(
        "--unreadable",
        type=click.Choice(["stop", "skip"]),
        default=default,
        show_default=True,
        help="If an image cannot be read, such as damaged features: end the run, or leave the "
        "image out and list it (exit code 3).",
    )


def _several(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return what adds several options, in this order."""

    def add(command: F) -> F:
        """Add the options to a command."""
        for option in reversed(options):
            command = option(command)
        return command

    return add


# Which processes share the work, see `cluster.client`.
cluster_options = _several(
    click.option(
        "--scheduler",
        "--scheduler-file",
        "scheduler",
        help="Dask scheduler whose workers do the work: tcp://host:8786, or its scheduler file.",
    ),
    click.option(
        "--workers", type=click.IntRange(1), help="Start so many processes on this machine instead."
    ),
)
resources_option = click.option(
    "--resources",
    type=RESOURCES,
    default="",
    help="With --scheduler: what a worker must offer to get work, such as GPU=1 (dask worker "
    "--resources).",
)

# How a long training of a network is run: `pretrain`, `distil`.
steps_option = click.option(
    "--steps", type=click.IntRange(1), help="Training steps; with --time, whichever ends first."
)
run_options = _several(
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="Number format of the computation; default: the fastest that is safe.",
    ),
    click.option(
        "--save-every",
        "save_seconds",
        type=TIME,
        default="5m",
        show_default=True,
        help="Time between saved states: the most that an interruption can lose.",
    ),
    click.option(
        "--workers", type=click.IntRange(1), help="Threads that decode images (one per core)."
    ),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Start again if --out contains a finished run, or a run with other settings.",
    ),
)

# How a checkpoint is read, see `CheckpointOptions`.
checkpoint_options = _several(
    click.option(
        "--head-channels",
        type=click.IntRange(1),
        help=".pt, MAE: channels per attention head (64; MONAI: 8).",
    ),
    click.option(
        "--heads",
        type=click.IntRange(1),
        help=".pt, MAE: number of attention heads, instead of --head-channels.",
    ),
    click.option(
        "--attention-order",
        type=click.Choice(["legacy", "new"]),
        help=".pt: order of the attention weights (legacy).",
    ),
    click.option(
        "--schedule",
        type=click.Choice(["linear", "cosine"]),
        help=".pt: noise schedule the network was trained with (linear).",
    ),
    click.option(
        "--diffusion-steps",
        type=click.IntRange(2),
        help=".pt: number of timesteps of the noise schedule (1000).",
    ),
    click.option(
        "--norm-groups", type=click.IntRange(1), help="MONAI: groups of the normalisation (32)."
    ),
    click.option(
        "--class-number",
        type=click.IntRange(0),
        help="Of a class-conditional diffusion model: the class of all images, or its null class.",
    ),
    click.option(
        "--weights",
        help="Which set of weights to use if the checkpoint has several, such as model, ema, unet; "
        "default: the averaged weights.",
    ),
)

# How images are drawn, see `SamplerSettings`.
sampler_options = _several(
    click.option(
        "--sampler",
        type=click.Choice(["ddim", "ddpm"]),
        default="ddim",
        show_default=True,
        help="ddim: few steps; ddpm: ancestral sampling, as the network was trained.",
    ),
    click.option(
        "--steps",
        "respacing",
        help="Timesteps to take: a number such as 250, numbers of equal sections such as 10,20,30, "
        "or ddim50; default: ddim50, with --sampler ddpm all.",
    ),
    click.option(
        "--eta",
        type=Finite(0, 1),
        default=0.0,
        show_default=True,
        help="Noise that DDIM adds: 0 none, 1 as much as ddpm.",
    ),
    click.option(
        "--size",
        type=SIZE,
        help="Size of the images, such as 256 or 192x256; default: the network's.",
    ),
    click.option(
        "--rescale-timesteps",
        "rescale",
        is_flag=True,
        help=".pt: the network was trained with timesteps rescaled to 1000 (improved-diffusion).",
    ),
    click.option(
        "--prediction",
        type=click.Choice(["epsilon", "v_prediction", "sample"]),
        help=".pt: what the network predicts, the noise, v or the image (epsilon).",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "float16", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Number format of the network's computation; the 16-bit formats are faster on GPUs "
        "and draw slightly different images.",
    ),
)

# How an ensemble is trained, see `TrainingOptions`.
training_options = _several(
    click.option(
        "--recipe",
        type=click.Choice(["default", "paper"]),
        default="default",
        show_default=True,
        help="paper: exactly as published; can take hours.",
    ),
    click.option(
        "--members",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        help="Number of networks that vote (members of the ensemble).",
    ),
    click.option(
        "--voting",
        type=click.Choice(["majority", "mean"]),
        default="majority",
        show_default=True,
        help="How the members' predictions are combined.",
    ),
    click.option(
        "--max-steps",
        type=click.IntRange(1),
        default=2000,
        show_default=True,
        help="Training steps of the default recipe.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(2),
        default=64,
        show_default=True,
        help="Pixels per batch.",
    ),
    click.option(
        "--balance",
        type=click.FloatRange(0, 1),
        help="How much the loss favours rare classes, from 0 (every pixel counts alike) to 1 "
        "(every class counts alike); default 0.3, with --recipe paper 0.",
    ),
    click.option(
        "--reduce",
        type=click.IntRange(0),
        metavar="K",
        help="Train on K principal components of the features (default: a fifth of the channels, "
        "at least 256); 0: on all channels.",
    ),
    memory_option,
    click.option(
        "--seed",
        type=SEED,
        default=0,
        show_default=True,
        help="Seed of initial weights and pixel order: the same seed gives the same model.",
    ),
)
output_options = _several(
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="No progress, no messages but warnings."),
    click.option("-v", "--verbose", is_flag=True, help="Print more; on errors, the traceback."),
)
