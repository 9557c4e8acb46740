"""Options of what draws images: how its checkpoint is read, and how it draws."""

from collections.abc import MutableMapping
from dataclasses import fields
from typing import Any

import click

from .unused_options import refuse_idle

__all__ = ["gather_generation"]


def gather_generation(context: click.Context, given: MutableMapping[str, Any]) -> None:
    """Gather values of `options.checkpoint_options` and `options.sampler_options` in two objects.

    Parameters
    ----------
    context : click.Context
    given : mapping
        Of all options by name; instead of those it then has ``checkpoint_options`` and
        ``settings``.

    Raises
    ------
    click.UsageError
        If an option was typed that the sampler does not take.
    """
    from ...extract.networks.options import CheckpointOptions
    from ...generate.sampler import SamplerSettings

    if given["sampler"] == "ddpm":
        refuse_idle(context, {"eta": "only DDIM steps add less noise than --sampler ddpm"})
        given["eta"] = 0.0
    for name, kind in (("checkpoint_options", CheckpointOptions), ("settings", SamplerSettings)):
        values = {f.name: given.pop(f.name) for f in fields(kind) if f.name in given}
        given[name] = kind(**values)
