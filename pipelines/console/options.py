"""What command lines are made of: types that check, options that several commands share."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "BYTES",
    "NAMES",
    "NUMBERS",
    "SEED",
    "SHARD",
    "SIZE",
    "SIZES",
    "TIME",
    "Finite",
    "Parsed",
    "backbone_option",
    "checkpoint_options",
    "cluster_options",
    "device_option",
    "dry_run_option",
    "existing_file",
    "existing_folder",
    "existing_path",
    "folder",
    "ignore_option",
    "layers_option",
    "list_option",
    "memory_option",
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

existing_folder = click.Path(exists=True, file_okay=False, path_type=Path)
existing_path = click.Path(exists=True, path_type=Path)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
folder = click.Path(file_okay=False, path_type=Path)


class Parsed(click.ParamType[Any]):
    """Text that a function turns into a value; its ``ValueError`` says what the text is not."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value."""
        if not isinstance(value, str):  # a default
            return value
        try:
            return self._parse(value.strip())
        except ValueError as error:
            self.fail(f"'{value}' {error}", param, ctx)


def _matched(pattern: str, text: str, otherwise: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text)
    if match is None:
        raise ValueError(otherwise)
    return match


def _numbers(text: str) -> tuple[int, ...]:
    _matched(r"\d+(\s*,\s*\d+)*", text, "is not a list of whole numbers such as 50,150,250")
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise ValueError("is not a list of names separated by commas")
    return names


def _size(text: str) -> tuple[int, int]:
    wrong = "is not a size: give a side such as 256, or HxW"
    match = _matched(r"(\d+)(?:[x×](\d+))?", text, wrong)
    height, width = int(match[1]), int(match[2] or match[1])
    if not height or not width:
        raise ValueError(wrong)
    return height, width


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Return the sizes (height, width) of a text such as ``256,192x256``.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    return tuple(_size(part.strip()) for part in text.split(","))


def _shard(text: str) -> tuple[int, int]:
    wrong = "is not a shard: give i/n with i from 0 to n-1"
    match = _matched(r"(\d+)/(\d+)", text, wrong)
    if int(match[1]) >= int(match[2]):
        raise ValueError(wrong)
    return int(match[1]), int(match[2])


def _resources(text: str) -> dict[str, float]:
    what = "is not a list of names and numbers such as GPU=1"
    pairs = (_matched(r"([^=,\s]+)=(\d+(\.\d+)?)", part.strip(), what) for part in text.split(","))
    return {pair[1]: float(pair[2]) for pair in pairs} if text else {}


def _bytes(text: str) -> int:
    from dask.utils import parse_bytes  # here, for it is slow to import

    _matched(
        r"\d+(\.\d+)?\s*([kmgt]i?b?)",
        text.lower(),
        "is not a size: give a number and a unit, such as 500MB or 4GB",
    )
    return int(parse_bytes(text))


def _seconds(text: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text.lower())
    units = [unit for _, unit in parts]
    whole = "".join(number + unit for number, unit in parts) == text.lower() != ""
    if not whole or units != sorted(set(units), key="dhms".index):
        raise ValueError("is not a time: give units, as in 90s, 30m or 1h30m")
    seconds = sum(float(n) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[u] for n, u in parts)
    if not seconds > 0:
        raise ValueError("is zero: give a time such as 30m")
    return seconds


class Finite(click.FloatRange):
    """A number in a range; not NaN, which no range keeps out."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a number", param, ctx)
        return number


NUMBERS = Parsed("N,N,…", _numbers)  # 50,150,250
NAMES = Parsed("NAME,…", _names)  # 50:6,150:8,pixels
SIZE = Parsed("S|HxW", _size)  # one of them
SIZES = Parsed("S|HxW,…", parse_sizes)  # 256, or height and width: 192x256; several: 256,512
SHARD = Parsed("i/n", _shard)  # one part of several: 0/4 to 3/4
RESOURCES = Parsed("NAME=NUMBER", _resources)  # GPU=1
BYTES = Parsed("SIZE", _bytes)  # 500MB
TIME = Parsed("TIME", _seconds)  # in seconds: 90s, 30m, 1h30m
SEED = click.IntRange(0, 2**63 - 1)  # what PyTorch and NumPy both take

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
