"""The command line of ``dseg robustness``: parse, call, report."""

from dataclasses import asdict
from typing import Any

import click

from ..console.options import (
    device_option,
    dry_run_option,
    ignore_option,
    list_option,
    output_options,
    overwrite_option,
)
from ..console.output import console_of, report
from ..console.values import NUMBERS, SEED, existing_folder, existing_path, folder

__all__ = ["robustness"]


@click.command()
@click.argument("images", type=existing_folder)
@click.argument("labels", type=existing_path)
@click.option(
    "--model",
    "models",
    type=existing_folder,
    multiple=True,
    default=("model",),
    show_default=True,
    help="Folder of a model, from `dseg fit`; repeat the option for several models.",
)
@click.option("--out", type=folder, default="robustness", show_default=True, help="Output folder.")
@click.option(
    "--corruptions",
    default="noise,blur,weather,digital",
    show_default=True,
    metavar="NAME,NAME,…",
    help="Corruptions or groups of them; extra: four more, all: everything.",
)
@click.option(
    "--severities",
    type=NUMBERS,
    default="1,2,3,4,5",
    show_default=True,
    help="Severities to use, from 1 to 5.",
)
@click.option(
    "--side",
    type=click.IntRange(32),
    default=256,
    show_default=True,
    help="Larger images are resized to this shorter side before they are corrupted.",
)
@ignore_option
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the corruptions.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    help="New location of the network that the models' features come from; once for all models, "
    "or once per model.",
)
@click.option("--batch-size", type=click.IntRange(1), help="Images per batch (CPU 1, GPU 8).")
@list_option
@device_option
@overwrite_option
@dry_run_option
@output_options
def robustness(**given: Any) -> int:
    """Score models on noisy, blurred, foggy images: mIoU by corruption and severity.

    Uses the 15 common corruptions of ImageNet-C at five severities, and the clean images. Writes
    all results (robustness.json), a table (.md) and plots (.png, .svg). If the command is
    interrupted, repeat it to continue; more models, corruptions or severities are added to the
    existing results.

    Needs imagecorruptions-imaug: pip install 'dseg[robustness]'.

    \b
    dseg robustness photos/ labels/ --list test.txt
    dseg robustness photos/ labels/ --model a/ --model b/ --corruptions blur,fog --severities 1,3,5
    """
    from ..inputs.image_list import duration
    from .config import RobustnessConfig
    from .run import robustness as run

    console, as_json = console_of(given)
    names = tuple(word.strip() for word in given.pop("corruptions").split(",") if word.strip())
    summary = run(RobustnessConfig(**given, corruptions=names), console)
    text = (
        f"{summary.out}: {summary.passes} passes over {summary.images} images, "
        f"{summary.unchanged} from earlier runs"
    )
    if given["dry_run"]:
        text = (
            f"{summary.out}: {summary.passes} passes over {summary.images} images to do, "
            f"{summary.unchanged} done already; about {duration(summary.seconds)}, and "
            f"{summary.peak_memory / 1e6:.0f} MB of memory for the whole process; nothing "
            "written (--dry-run)"
        )
    else:
        text = "\n".join([*_lines(summary.mean_iou), f"{text}; {summary.seconds:.0f} s"])
    return report(asdict(summary), text, as_json)


def _lines(mean_iou: dict[str, dict[str, float | None]]) -> list[str]:
    """Return the lines of a table of means by severity."""
    from .results import short_names

    names = short_names(list(mean_iou))
    width = max(map(len, ["mIoU at severity", *names]))
    severities = next(iter(mean_iou.values()))
    rows = [f"{'mIoU at severity':<{width}}" + "".join(f"{s:>8}" for s in severities)]
    for name, values in zip(names, mean_iou.values(), strict=True):
        numbers = (f"{'–':>8}" if v is None else f"{v:8.4f}" for v in values.values())
        rows.append(f"{name:<{width}}" + "".join(numbers))
    return rows
