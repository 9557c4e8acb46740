"""The command line of ``dseg select``: parse, call, report."""

from typing import TYPE_CHECKING, Any

import click

from ..console.options import (
    device_option,
    dry_run_option,
    ignore_option,
    list_option,
    memory_option,
    output_options,
    overwrite_option,
    unreadable_option,
)
from ..console.output import console_of, report
from ..console.places import existing_folder_or_url, existing_path_or_url, storage_option
from ..console.unused_options import refuse_idle
from ..console.values import SEED, folder

if TYPE_CHECKING:  # what it imports is for its run
    from .config import SelectSummary

__all__ = ["select"]


@click.command()
@click.argument("stores", type=existing_folder_or_url, nargs=-1, required=True)
@click.argument("labels", type=existing_path_or_url)
@click.option(
    "--out", type=folder, default="select", show_default=True, help="Output folder of the report."
)
@click.option(
    "--most",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    help="Number of layers in the largest set to try.",
)
@click.option(
    "--folds",
    type=click.IntRange(2),
    metavar="K",
    help="Number of folds of the labelled images (5; with fewer images, one image per fold).",
)
@click.option(
    "--max-steps",
    type=click.IntRange(0),
    default=500,
    show_default=True,
    help="Training steps of the ensembles that confirm the best sets; 0: only the linear probe.",
)
@click.option(
    "--members",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Members of those ensembles.",
)
@click.option(
    "--time/--no-time",
    "measure_time",
    default=True,
    show_default=True,
    help="Measure the network's time, if its checkpoint is available.",
)
@memory_option
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of folds, samples and ensembles: the same seed gives the same choice.",
)
@ignore_option
@unreadable_option("stop")
@list_option
@storage_option
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def select(context: click.Context, /, **given: Any) -> int:
    """Find the timesteps and blocks of a feature store that separate the labelled classes best.

    On held-out images, a linear probe scores each layer alone, then sets of layers; the ensemble
    confirms the best sets. Recommends the smallest set that is as good as the best, with its cost
    and the commands that use it; writes tables and heat maps. With several STORES of the same
    images it compares networks. LABELS is as for `dseg fit`.

    \b
    dseg select feats.zarr labels/
    dseg select ddpm.zarr mae.zarr labels/ --list train.txt
    """
    from .config import SelectConfig
    from .report import short_words
    from .run import select as run

    if given["max_steps"] == 0:
        refuse_idle(context, {"members": "with --max-steps 0 no ensemble is trained"})
    console, as_json = console_of(given)
    summary = run(SelectConfig(**given), console)
    text = _estimate(summary) if given["dry_run"] else short_words(summary)
    return report(summary.to_dict(), text, as_json, summary.failed)


def _estimate(summary: "SelectSummary") -> str:
    from ..inputs.image_list import duration

    return (
        f"{summary.n_layers} layers on {summary.images} images: about "
        f"{duration(summary.probe_seconds)} for the search, about "
        f"{duration(summary.ensemble_seconds)} for confirming it, up to "
        f"{summary.memory / 1e6:.0f} MB of memory in addition to interpreter and libraries; "
        "nothing written (--dry-run)"
    )
