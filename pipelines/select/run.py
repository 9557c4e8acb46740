"""``dseg select``: which layers of a store separate the labelled classes best.

A linear probe scores each layer alone, then sets of layers, on images held out; the ensemble
confirms the best few on the same folds.
"""

import time
from dataclasses import replace
from functools import partial

from ...store.atomic_folder import recover_folder
from ...store.claims import claimed
from ..console.optional_packages import require
from ..console.progress import Progress
from ..training.cross_validation import warn_of_folds
from ..training.memory import return_freed_memory
from .config import SelectConfig, SelectSummary
from .confirm import confirm_sets
from .estimate import estimated
from .rank import Costs, commands_of, compared, path_of, ranked, scored
from .report import write_report
from .search import searched
from .task import SelectTask, prepare

__all__ = ["select"]


def select(config: SelectConfig, progress: Progress | None = None) -> SelectSummary:
    """Find the layers that separate the classes best; write tables, pictures and the commands.

    Raises
    ------
    DsegError
        If store and labels do not match, there are too few images or layers, the memory is too
        little, or a report is there already.
    """
    require("matplotlib")
    progress = progress or Progress()
    if config.dry_run:
        return _select(config, progress)
    tidy = partial(recover_folder, config.out)
    with claimed(config.out, None, "dseg select", in_parent=True, tidy=tidy, warn=progress.warn):
        return _select(config, progress)


def _select(config: SelectConfig, progress: Progress) -> SelectSummary:
    started = time.monotonic()
    return_freed_memory()
    task = prepare(config, progress)
    warn_of_folds(task.labelled, task.folds, progress)
    summary = _nothing_yet(task)
    if config.dry_run:
        return replace(summary, **estimated(task))
    search = searched(task, progress)
    probed = time.monotonic()
    sets = compared(task, search)
    confirmed = None
    if config.max_steps:
        confirmed = confirm_sets(task, {one.title: one.layers for one in sets}, progress)
    costs = Costs(task, progress)
    rows = ranked(sets, confirmed, costs)
    layers = next(one.layers for one in sets if one.step.names == rows[0].layers)
    summary = replace(
        summary,
        alone=tuple(scored(task, step, "alone", costs) for step in search.alone),
        path=tuple(path_of(task, search.path, costs)),
        sets=tuple(rows),
        commands=tuple(commands_of(task, layers)),
        probe_seconds=probed - started,
        ensemble_seconds=time.monotonic() - probed,
        seconds=time.monotonic() - started,
    )
    write_report(summary, config.out, config.overwrite)
    return summary


def _nothing_yet(task: SelectTask) -> SelectSummary:
    labelled = task.labelled
    return SelectSummary(
        out=str(task.config.out),
        stores=tuple(store.name for store in task.stores),
        images=len(labelled.images),
        folds=len(task.folds),
        classes=dict(zip(labelled.classes.names, labelled.counts.tolist(), strict=True)),
        sampled=task.plan.per_image,
        memory=task.plan.memory,
        n_layers=len(task.names),
        failed=dict(labelled.left_out),
    )
