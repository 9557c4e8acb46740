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
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .. import __version__
from ..extract.builtin import BUILTIN
from ..store.errors import DsegError
from .curve.command import curve
from .extract_command import extract
from .fit_command import fit
from .idle_options import refuse_idle
from .options import (
    SHARD,
    device_option,
    dry_run_option,
    existing_folder,
    existing_path,
    folder,
    list_option,
    output_options,
    overwrite_option,
    white_option,
)
from .pretrain_command import pretrain
from .progress import Console
from .reporting import console_of, next_command, report
from .robustness.command import robustness
from .select.command import select
from .settings import FILE, read_settings

if TYPE_CHECKING:  # what it imports is for its run
    from .evaluate import EvaluateSummary
    from .predict import PredictSummary

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
    command = context.invoked_subcommand or ""
    asked_for_help = any(word in context.help_option_names for word in sys.argv[1:])
    try:
        context.default_map = read_settings(Path(FILE), cli, command, _warn)
    except click.UsageError as error:
        if not asked_for_help:
            raise
        _warn(error.message)


def _warn(words: str) -> None:
    click.echo(f"Warning: {words}", err=True)


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
        _with_source(error).show()
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


def _with_source(error: click.ClickException) -> click.ClickException:
    """Return an error that names dseg.toml where the value that it is about stands there."""
    if isinstance(error, click.BadParameter) and error.ctx and error.param and error.param.name:
        source = error.ctx.get_parameter_source(error.param.name)
        if source is ParameterSource.DEFAULT_MAP:
            words = f"{error.message.rstrip('.')} (from '{FILE}')"
            return click.BadParameter(words, error.ctx, error.param)
    return error


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
@click.argument("sources", type=existing_path, nargs=-1)
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
@white_option
@list_option
@device_option
@overwrite_option
@dry_run_option
@output_options
@click.pass_context
def predict(context: click.Context, /, **given: Any) -> int:
    """Write masks for a feature store, a folder of images, or single images.

    SOURCES is one of these; without it, the store that the model was fitted on, or all of them
    where there were several. Masks are index PNGs of each image's own size, beside a manifest,
    predictions.jsonl, which also has each image's uncertainty. The same command again goes on
    where it stopped.

    \b
    dseg predict feats.zarr
    dseg predict photos/ --model model/ --out masks/ --overlay
    dseg predict one.jpg other.jpg
    """
    from .predict import PredictConfig
    from .predict import predict as run
    from .selection import duration

    refuse_idle(context, _idle(given))
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
    elif not console.quiet:
        text = "\n".join([text, *_what_next(summary, console)])
    return report(asdict(summary), text, as_json, summary.failed)


def _idle(given: dict[str, Any]) -> dict[str, str]:
    """Return the options of `predict` that it would not use."""
    idle = {}
    if all((source / "zarr.json").is_file() for source in given["sources"]):
        why = "features come from a store; it is for a folder of images"
        idle = {"checkpoint": why, "batch_size": why}
    if not given["overlay"]:
        idle["images"] = "it is for overlays, --overlay"
    return idle


def _what_next(summary: "PredictSummary", console: Console) -> list[str]:
    """Return the lines of what masks are good for."""
    from .manifest import FILE
    from .selection import named

    lines = []
    if summary.most_uncertain:
        lines.append(
            f"Most worth labelling next: {named(summary.most_uncertain)} (the highest "
            f"image_uncertainty in {Path(summary.masks) / FILE})"
        )
    if summary.predicted + summary.unchanged:
        lines.append(next_command(console, "evaluate", summary.masks, "truth/"))
    return lines


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
    if summary.others is not None:
        rows.append(_of_others(summary))
    return report(asdict(summary), "\n".join(rows), as_json)


def _of_others(summary: "EvaluateSummary") -> str:
    """Return a line about the images that the model has not learnt from."""
    count, others = summary.learnt_from, summary.others
    assert others is not None
    if others.images == 0:
        return f"The model has learnt from all {count}: on other images it may be much worse"
    unknown = summary.images - others.images - (count or 0)
    less = f" (of {unknown} that is not known)" if unknown else ""
    if others.mean_iou is None or others.pixel_accuracy is None:
        scores = "no labelled pixel"
    else:
        scores = f"mIoU {others.mean_iou:.4f}, pixel accuracy {others.pixel_accuracy:.4f}"
    return f"The model has learnt from {count} of them{less}; the {others.images} others: {scores}"


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
