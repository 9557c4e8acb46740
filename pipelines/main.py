"""The command line: parse, call a pipeline, report. Nothing but `console.output` and this prints.

Exit codes: 0 done, 1 failed, 2 wrong call, 3 done but some images failed, 130 interrupted.
Pipelines are imported when their command runs, so that ``dseg --help`` is quick.
"""

import io
import re
import sys
import traceback
from pathlib import Path

import click
from click.core import ParameterSource

from .. import __version__
from ..store.errors import DsegError
from .console.optional_packages import missing_package
from .console.plain_text import visible
from .console.settings_file import FILE, read_settings
from .convert.command import convert
from .curve.command import curve
from .demo.command import demo
from .distil.command import distil
from .doctor.command import doctor
from .evaluate.command import evaluate
from .export.command import export
from .extract.command import extract
from .fit.command import fit
from .info.command import info
from .labels.command import labels
from .predict.command import predict
from .pretrain.command import pretrain
from .robustness.command import robustness
from .sample.command import sample
from .select.command import select
from .suggest.command import suggest
from .synthesize.command import synthesize
from .verify.command import verify

__all__ = ["cli", "main"]

INTERRUPTED = 130
OUT_OF_MEMORY = "out of memory: try a smaller --size, --batch-size or --memory, or --device cpu"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dseg")
@click.pass_context
def cli(context: click.Context) -> None:
    """Predict masks for many images from a few labelled ones, with a diffusion model's features.

    \b
    dseg extract --images photos/ --out feats.zarr
    dseg fit feats.zarr labels/
    dseg predict feats.zarr

    `dseg pretrain` trains a diffusion model on images like yours, which can improve the masks.
    `dseg distil` trains a small network to do what a model does, in a fraction of the time.

    Defaults of all options can be set in dseg.toml in the working folder, one table per command.
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
    click.echo(visible(f"Warning: {words}"), err=True)


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
        told = io.StringIO()
        _with_source(error).show(told)
        click.echo(visible(told.getvalue()), err=True, nl=False)
        code = error.exit_code
    except KeyboardInterrupt:
        code = _interrupted()
    except DsegError as error:
        code = _failed(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        missing = missing_package(error.name or "")
        code = _failed(str(missing or _unforeseen(error)), missing.exit_code if missing else 1)
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
        "Interrupted. Repeat the command to continue where it stopped (fit and select start over).",
        err=True,
    )
    return INTERRUPTED


def _failed(words: str, code: int) -> int:
    click.echo(visible(f"Error: {words}"), err=True)
    if any(re.fullmatch(r"--verbose|-[qv]*v[qv]*", word) for word in sys.argv):
        traceback.print_exc()
    return code


def _unforeseen(error: Exception) -> str:
    return (
        f"unexpected error: {type(error).__name__}: {error}\nThis is a bug in dseg; please "
        "report it with the output of -v"
    )


def _system(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{what}: '{error.filename}'" if error.filename else what


for command in (
    convert,
    curve,
    demo,
    distil,
    doctor,
    evaluate,
    export,
    extract,
    fit,
    info,
    labels,
    predict,
    pretrain,
    robustness,
    sample,
    select,
    suggest,
    synthesize,
    verify,
):
    cli.add_command(command)
