"""The search of ``dseg select``: each layer alone, then sets, by a linear probe."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...classify.evaluation.estimates import IouEstimate
from ...classify.evaluation.forward_selection import Step, forward_selection, smallest_within_error
from ...classify.evaluation.linear_probe import LinearProbe
from ..console.progress import Progress
from .layer_sets import default_names, split_name
from .sample import read_sample
from .task import SelectTask

__all__ = ["Search", "searched"]


@dataclass(frozen=True)
class Search:
    """What the linear probe says.

    Parameters
    ----------
    alone : list of Step
        Each layer, in feature order.
    path : list of Step
        Growing sets.
    references : dict
        Sets that were not searched for, by title.
    """

    alone: list[Step]
    path: list[Step]
    references: dict[str, Step]

    @property
    def best_alone(self) -> Step:
        """The best single layer."""
        return self.path[0]

    @property
    def chosen(self) -> Step:
        """The smallest set of the path that is as good as the best, within chance."""
        return smallest_within_error(self.path)


def searched(task: SelectTask, progress: Progress) -> Search:
    """Read the sample, score every layer, grow sets, score what to compare them with."""
    names, k = task.names, len(task.folds)
    seed = task.config.seed
    sets = _references(task)  # which loads a network: before the sample is there
    table = read_sample(task.features, names, task.labelled, task.plan, seed, progress)
    probe = LinearProbe(table, task.held_out, task.plan.workers)
    with progress.bar("alone", len(names) * k, "fits") as advance:
        found = probe.score([(name,) for name in names], advance)
    alone = [Step((name,), one) for name, one in zip(names, found, strict=True)]
    path = _grown(probe, alone, min(task.config.most, len(names)), progress)
    with progress.bar("compare", len(sets) * k, "fits") as advance:
        found = probe.score(list(sets.values()), advance)
    references = {
        title: Step(some, one) for (title, some), one in zip(sets.items(), found, strict=True)
    }
    return Search(alone, path, references)


def _grown(probe: LinearProbe, alone: list[Step], most: int, progress: Progress) -> list[Step]:
    """Grow a set layer by layer; the bar's end is where all layers would be tried each time."""
    total, done = (most - 1) * len(alone), 0
    with progress.bar("together", total, "sets") as advance:

        def score(sets: Sequence[tuple[str, ...]]) -> list[IouEstimate]:
            nonlocal done
            probe.cache(sets[0][:-1])
            found = probe.score(sets)
            advance(len(sets))
            done += len(sets)
            return found

        path = forward_selection(alone, score, most, probe.workers)
        advance(total - done)
    first, *rest = path
    progress.say(
        f"best single layer: {first.names[0]}, mIoU {first.found.mean_iou:.3f} by the probe"
    )
    for step in rest:
        progress.say(f"adding {step.names[-1]}: {step.found.mean_iou:.3f}")
    return path


def _references(task: SelectTask) -> dict[str, tuple[str, ...]]:
    """Return sets that are not searched for, by title."""
    sets: dict[str, tuple[str, ...]] = {}
    count = len(task.stores)
    if count == 1:
        default = default_names(task.stores[0])
        if default is not None and len(default) < len(task.names):
            sets["the checkpoint's default"] = default
        return sets | {"all layers": task.names}
    for number, store in enumerate(task.stores):
        own = {layer.name for layer in store.layers}
        extras = {layer.name for layer in store.layers if layer.is_extra}
        split = [(name, *split_name(name, count)) for name in task.names]
        sets[f"all of '{store.name}'"] = tuple(
            name for name, at, layer in split if (at == number and layer in own) or layer in extras
        )
    return sets | {"all layers": task.names}
