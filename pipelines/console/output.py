"""How a command tells its result: on stdout, in words or as JSON, with what failed on stderr."""

import json
import shlex
from typing import Any

import click

from .plain_text import visible
from .progress import Console

__all__ = ["console_of", "next_command", "report"]

SOME_FAILED = 3
MOST_LISTED = 20


def console_of(given: dict[str, Any]) -> tuple[Console, bool]:
    """Take the output options out of what was given; return where to talk, and whether in JSON."""
    given.pop("verbose")
    return Console(given.pop("quiet")), given.pop("as_json")


def next_command(console: Console, *words: object) -> str:
    """Return what to type next, quoted for a shell; nothing for who wants no words.

    Examples
    --------
    >>> next_command(Console(), "predict", "my feats.zarr")
    "Next: dseg predict 'my feats.zarr'"
    """
    return "" if console.quiet else f"Next: dseg {shlex.join(map(str, words))}"


def report(
    summary: dict[str, Any], text: str, as_json: bool, failed: dict[str, str] | None = None
) -> int:
    """Print the result on stdout; return the exit code."""
    click.echo(json.dumps(summary, indent=1, default=str) if as_json else visible(text))
    if failed:
        click.echo(f"{len(failed)} failed:", err=True)
        for name, reason in list(failed.items())[:MOST_LISTED]:
            told = visible(f"  {name}: {reason}").replace("\n", "\\n")
            click.echo(told, err=True)
        if len(failed) > MOST_LISTED:
            click.echo(f"  … and {len(failed) - MOST_LISTED} more; --json lists all", err=True)
    return SOME_FAILED if failed else 0
