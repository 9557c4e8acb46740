"""The sets that ``dseg select`` compares: their costs, which one to use, and how."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ...classify.evaluation.forward_selection import MIN_GAIN, Step
from ...classify.evaluation.metrics import by_class
from ...extract.from_spec import factory_of
from ...store.errors import DsegError
from ..console.progress import Progress
from .config import ScoredSet
from .confirm import Confirmation
from .layer_sets import LayerSet, NetworkTimes
from .search import Search
from .task import SelectTask

__all__ = ["Compared", "Costs", "commands_of", "compared", "path_of", "ranked", "scored"]


@dataclass(frozen=True)
class Compared:
    """A set that is compared with others in the end.

    Parameters
    ----------
    title : str
        What it is to the search; of sets that are the same, all titles.
    step : Step
    layers : LayerSet
    """

    title: str
    step: Step
    layers: LayerSet


def compared(task: SelectTask, search: Search) -> list[Compared]:
    """Return the sets that are worth an ensemble, each once: the probe's choice first."""
    steps = {
        "chosen by the probe": search.chosen,
        "its longest": search.path[-1],
        "best alone": search.best_alone,
        **search.references,
    }
    found: dict[frozenset[str], Compared] = {}
    for title, step in steps.items():
        key = frozenset(step.names)
        if key in found:
            found[key] = replace(found[key], title=f"{found[key].title}, {title}")
        else:
            found[key] = Compared(title, step, task.set_of(step.names))
    return list(found.values())


class Costs:
    """What sets cost, also as a share of all layers.

    Parameters
    ----------
    task : SelectTask
    progress : Progress
        Is told why times could not be measured.
    """

    def __init__(self, task: SelectTask, progress: Progress) -> None:
        self._classes, self._whole = task.labelled.classes.names, task.set_of(task.names)
        self._times = NetworkTimes(task.device)
        self._seconds: float | None = None
        if task.config.measure_time:
            try:
                self._seconds = self._times.seconds(self._whole)
            except (DsegError, OSError) as error:
                progress.say(
                    f"the network's time is not measured, timesteps are counted instead: {error}"
                )

    def of(self, step: Step, title: str, layers: LayerSet, *, timed: bool) -> ScoredSet:
        """Return a set with its costs; without time, unless asked for."""
        seconds, share = None, layers.steps / max(1, self._whole.steps)
        if timed and self._seconds:
            seconds = self._times.seconds(layers)
            share = seconds / self._seconds
        return ScoredSet(
            title=title,
            layers=step.names,
            mean_iou=step.found.mean_iou,
            iou=by_class(self._classes, step.found.iou),
            bytes_per_row=layers.bytes_per_row,
            bytes_share=layers.bytes_per_row / self._whole.bytes_per_row,
            steps=layers.steps,
            seconds_per_row=seconds,
            time_share=share,
        )


def scored(task: SelectTask, step: Step, title: str, costs: Costs) -> ScoredSet:
    """Return a set of the search for the report."""
    return costs.of(step, title, task.set_of(step.names), timed=False)


def path_of(task: SelectTask, path: Sequence[Step], costs: Costs) -> list[ScoredSet]:
    """Return the steps of the search, with what each gained."""
    found = [scored(task, path[0], "best alone", costs)]
    for before, after in pairwise(path):
        found.append(
            replace(
                scored(task, after, f"with {after.names[-1]}", costs),
                gain=after.found.mean_iou - before.found.mean_iou,
                error=after.found.difference_error(before.found),
            )
        )
    return found


def ranked(
    sets: Sequence[Compared], confirmed: Sequence[Confirmation] | None, costs: Costs
) -> list[ScoredSet]:
    """Return the compared sets, the recommended one first.

    That is the probe's choice, unless the ensemble finds it behind the best by more than one
    standard error (or by `MIN_GAIN`, if that is more): then the cheapest, by bytes and time, that
    is not. Not the cheapest in any case: few steps favour few channels.
    """
    rows = [costs.of(one.step, one.title, one.layers, timed=True) for one in sets]
    if confirmed is None:
        return rows
    best = max(confirmed, key=lambda one: one.found.mean_iou)
    rows = [
        replace(row, ensemble=one.compared_with(best))
        for row, one in zip(rows, confirmed, strict=True)
    ]
    good = [
        row
        for row in rows
        if row.ensemble and row.ensemble.behind <= max(MIN_GAIN, row.ensemble.error)
    ]
    cheapest = min(good, key=lambda row: row.bytes_share + row.time_share)
    use = rows[0] if rows[0] in good else cheapest
    return [use, *(row for row in rows if row is not use)]


def commands_of(task: SelectTask, chosen: LayerSet) -> list[str]:
    """Return the commands that use a set."""
    config = task.config
    options = {
        "--list": config.list_file,
        "--ignore": None if config.ignore == 255 else config.ignore,
    }
    commands = [chosen.fit_command(config.labels, options)]
    if len(chosen.stores) == 1:
        factory = factory_of(chosen.stores[0].spec)
        trusted = "" if factory is None else f" --backbone {shlex.quote(factory)}"
        new = "dseg extract --images new_photos/ --out new.zarr --layers-from model/"
        commands.append(f"{new}{trusted}")
    return commands + chosen.extract_commands()
