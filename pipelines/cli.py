"""The command line: parse, call a pipeline, report. Nothing but `reporting` and this prints.

Exit codes: 0 done, 1 failed, 2 wrong call, 3 done but some images failed, 130 interrupted.
Pipelines are imported when their command runs, so that ``dseg --help`` is quick.
"""

import io
import re
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..extract.builtin import BUILTIN
from ..store.errors import DsegError
from .curve.command import curve
from .extract_command import extract
from .fit_command import fit
from .options import (
    SHARD,
    device_option,
    dry_run_option,
    existing_folder,
    folder,
    list_option,
    output_options,
    overwrite_option,
)
from .pretrain_command import pretrain
from .reporting import console_of, report
from .robustness.command import robustness
from .select.command import select
from .settings import FILE, read_settings

__all__ = ["cli", "main"]

INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory: try a smaller --size, --batch-size or --memory, or --device cpu"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dseg")
@click.pass_context
def cli(context: click.Context) -> None:
    """Masks for all your images from a few labelled ones, by a diffusion model's activations.

    \b
    dseg extract --images photos/ --out feats.zarr
    dseg fit feats.zarr labels/
    dseg predict feats.zarr

    `dseg pretrain` trains a diffusion model on images like yours, for better masks.

    Defaults of any option may stand in dseg.toml in the working folder, one table a command.
    """
    context.default_map = read_settings(Path(FILE), cli)


def main() -> None:
    """Run the command line and exit: no traceback, whatever is wrong, unless ``-v`` asks for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and signs that a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _interrupted()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = _interrupted()
    except DsegError as error:
        code = _failed(str(error), error.exit_code)
    except MemoryError:
        code = _failed(OUT_OF_MEMORY, 1)
    except OSError as error:
        code = _failed(_system(error), 1)
    except Exception as error:
        # Of a GPU, known by its name, for torch need not be imported; of a CPU, by its words.
        full = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
        code = _failed(OUT_OF_MEMORY if full else _unforeseen(error), 1)
    sys.exit(code)


def _interrupted() -> int:
    click.echo(
        "Interrupted. The same command goes on where this one stopped (fit and select start over).",
        err=True,
    )
    return INTERRUPTED


def _failed(words: str, code: int) -> int:
    click.echo(f"Error: {words}", err=True)
    if any(re.fullmatch(r"--verbose|-[qv]*v[qv]*", word) for word in sys.argv):
        traceback.print_exc()
    return code


def _unforeseen(error: Exception) -> str:
    return (
        f"something unforeseen went wrong: {type(error).__name__}: {error}\n"
        "This is a fault of dseg; please report it with what -v prints"
    )


def _system(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{what}: '{error.filename}'" if error.filename else what


@cli.command()
@click.argument("sources", type=existing_folder, nargs=-1)
@click.option(
    "--model", type=existing_folder, default="model", show_default=True, help="From `dseg fit`."
)
@click.option("--out", type=folder, default="masks", show_default=True, help="Folder of the masks.")
@click.option("--checkpoint", help="For images: where the model's diffusion model is now.")
@click.option("--images", type=existing_folder, help="For overlays from a store: its images.")
@click.option("--probabilities", is_flag=True, help="Also mean class probabilities, .npy float16.")
@click.option("--uncertainty", is_flag=True, help="Also each pixel's uncertainty, .npy float32.")
@click.option("--overlay", is_flag=True, help="Also the masks over the images, and a legend.")
@click.option(
    "--paper", is_flag=True, help="Vote at the network's size and write that, as published."
)
@click.option("--batch-size", type=click.IntRange(1), help="Images at once (CPU 1, GPU 8).")
@click.option("--shard", type=SHARD, help="Only the i-th, from 0, of n parts: for array jobs.")
@list_option
@device_option
@overwrite_option
@dry_run_option
@output_options
def predict(**given: Any) -> int:
    """Write masks for a feature store or a folder of images.

    SOURCES is either; without it, the store that the model was fitted on, or all of them where
    there were several. Masks are index PNGs of each image's own size, beside a manifest,
    predictions.jsonl, which also has each image's uncertainty. The same command again goes on
    where it stopped.

    \b
    dseg predict feats.zarr
    dseg predict photos/ --model model/ --out masks/ --overlay
    """
    from .predict import PredictConfig
    from .predict import predict as run
    from .selection import duration

    console, as_json = console_of(given)
    summary = run(PredictConfig(**given), console)
    text = (
        f"{summary.masks}: {summary.predicted} masks written, {summary.unchanged} unchanged, "
        f"{len(summary.failed)} failed; {summary.seconds:.0f} s"
    )
    if given["dry_run"]:
        text = (
            f"{summary.masks}: {summary.images - summary.unchanged} masks to write, about "
            f"{duration(summary.seconds)}, {summary.n_bytes / 1e6:.1f} MB and "
            f"{summary.peak_memory / 1e6:.0f} MB of memory for the whole process; nothing written "
            "(--dry-run)"
        )
    return report(asdict(summary), text, as_json, summary.failed)


@cli.command()
@click.option(
    "--out",
    type=folder,
    default="dseg-demo",
    show_default=True,
    help="Folder of all that it makes.",
)
@click.option(
    "--checkpoint", default=BUILTIN, show_default=True, help="Another diffusion model to try."
)
@device_option
@overwrite_option
@output_options
def demo(**given: Any) -> int:
    """Run all steps on drawn scenes: 12 labelled, 60 to predict; leave a picture and scores.

    \b
    dseg demo
    """
    from .demo import DemoConfig
    from .demo import demo as run

    console, as_json = console_of(given)
    summary = run(DemoConfig(**given), console)
    rows = _scores(summary.iou, summary.mean_iou, summary.pixel_accuracy)
    rows.append(f"{summary.picture}: some of the masks; {summary.seconds:.0f} s")
    return report(asdict(summary), "\n".join(rows), as_json)


@cli.command()
@click.argument("masks", type=existing_folder)
@click.argument("labels", type=existing_folder)
@click.option(
    "--ignore", type=int, default=255, show_default=True, help="Id of pixels without a class."
)
@click.option("--paper", is_flag=True, help="Count as published: absent classes 0, void in unions.")
@list_option
@output_options
def evaluate(**given: Any) -> int:
    """Score masks against label maps: IoU per class, mIoU, pixel accuracy.

    \b
    dseg evaluate masks/ labels/ --list test.txt
    """
    from .evaluate import EvaluateConfig
    from .evaluate import evaluate as run

    console, as_json = console_of(given)
    summary = run(EvaluateConfig(**given), console)
    rows = _scores(summary.iou, summary.mean_iou, summary.pixel_accuracy)
    width = len(rows[0]) - 8
    rows.append(f"{'images':<{width}}  {summary.images:6d}")
    return report(asdict(summary), "\n".join(rows), as_json)


def _scores(
    class_iou: dict[str, float | None], mean_iou: float, pixel_accuracy: float
) -> list[str]:
    """Return the lines of a table of scores, all of one length."""
    named = {**class_iou, "mIoU": mean_iou, "pixel accuracy": pixel_accuracy}
    width = max(map(len, named))
    return [
        f"{name:<{width}}  {'–':>6}" if value is None else f"{name:<{width}}  {value:6.4f}"
        for name, value in named.items()
    ]


@cli.command()
@click.argument("path", type=existing_folder)
@list_option
@output_options
def info(**given: Any) -> int:
    """Tell what a feature store or a model is.

    \b
    dseg info feats.zarr
    dseg info model/
    """
    from .info import describe, in_words

    _, as_json = console_of(given)
    facts = describe(**given)
    return report(facts, in_words(facts), as_json)


cli.add_command(curve)
cli.add_command(extract)
cli.add_command(fit)
cli.add_command(pretrain)
cli.add_command(robustness)
cli.add_command(select)
