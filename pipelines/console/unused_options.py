"""Options that a call would not use: who types one is told so, rather than left to believe it.

Those of dseg.toml are defaults for many calls, so they yield without a word.
"""

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["refuse_idle", "refuse_idle_training", "written"]


def refuse_idle(context: click.Context, idle: Mapping[str, str]) -> None:
    """Refuse options that were typed and would do nothing.

    Parameters
    ----------
    context : click.Context
    idle : mapping
        Names of parameters, and why each does nothing here.

    Raises
    ------
    click.UsageError
    """
    for name, why in idle.items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{written(context, name)} has no effect here: {why}", context)


def refuse_idle_training(context: click.Context, given: Mapping[str, Any]) -> None:
    """Refuse what the published recipe does not take, see `options.training_options`."""
    if given["recipe"] == "paper":
        why = (
            "--recipe paper trains as published, up to 100 epochs, until a member's losses no "
            "longer fall. Leave out the one or the other"
        )
        refuse_idle(context, {"max_steps": why})


def written(context: click.Context, name: str) -> str:
    """Return how a parameter is written, in all its forms: ``--fit/--tile``."""
    parameters = (p for p in context.command.params if p.name == name)
    return "/".join(word for p in parameters for word in (*p.opts, *p.secondary_opts))
