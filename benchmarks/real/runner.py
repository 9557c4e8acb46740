"""Which cells there are, in which order, and what of them is there already."""

import hashlib
import json
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dseg import __version__
from dseg.store.errors import DsegError

from .cells import colour_cell, describe_cell, forest_cell, network_cell, pretraining_cell
from .layout import DataSet
from .measure import apart
from .options import Network, Plan
from .results import FILE, Key, Record, Results

__all__ = ["PRETRAINING", "ROWS", "Runner", "all_rows"]

PRETRAINING = "pretraining"
"""The row of pretrainings, which are no method."""

ROWS = {
    "pretrained": "dseg, pretrained on the set's images",
    "builtin": "dseg, built-in checkpoint",
    "untrained": "dseg's ensemble, untrained network",
    "filters": "dseg's filters, colour and position",
    "colour": "dseg's ensemble, colour and position",
    "forest-position": "random forest, with position",
    "forest": "random forest, without position",
}
"""The methods, in the order of the table."""

NETWORK_ROWS = ("pretrained", "builtin", "untrained")


def all_rows(results: Results) -> dict[str, str]:
    """Return the methods of a table: those that are always there, then further backbones."""
    further = sorted({r.key.row for r in results.records} - {*ROWS, PRETRAINING})
    rows = dict(ROWS)
    names = list(rows)
    at = names.index("untrained")  # after dseg's own networks
    labelled = {name: f"dseg, {name}" for name in further}
    return {**{n: rows[n] for n in names[:at]}, **labelled, **{n: rows[n] for n in names[at:]}}


class Runner:
    """Computes what a plan asks for and the results do not have yet.

    Parameters
    ----------
    plan : Plan

    Attributes
    ----------
    results : Results
    computed : list of Key
        What was computed now.
    failed : list of str
        What could not be computed, with the reason; the others were.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.results = Results(plan.out / FILE)
        self.computed: list[Key] = []
        self.failed: list[str] = []
        self._described: dict[tuple[str, str], Network] = {}

    def run(self) -> None:
        """Compute cell by cell; each is on disk once it is done."""
        for data in self._plan.sets:
            for row in self._plan.rows:
                try:
                    self._row(data, row)
                except Exception as error:  # one method's fault must not cost the others' hours
                    if not isinstance(error, DsegError):
                        traceback.print_exc()
                    reason = f"{data.name}, {row}: {type(error).__name__}: {error}"
                    self.failed.append(reason)
                    print(f"FAILED: {reason}", flush=True)

    def _row(self, data: DataSet, row: str) -> None:
        if row in NETWORK_ROWS or row in self._plan.also:
            self._network_row(data, row)
        elif row in ("filters", "colour"):
            self._plain_row(data, row)
        else:
            from .forest import SETTINGS

            for key in self._missing(data, row, SETTINGS):
                self._cell(key, forest_cell, data, row == "forest-position")

    def _plain_row(self, data: DataSet, row: str) -> None:
        """The ensemble without a network."""
        plan = self._plan
        size = plan.sizes.get(data.name) or self._architecture(data).size
        settings = {"rows": list(size), "recipe": self._recipe()}
        for key in self._missing(data, row, settings):
            filters = row == "filters"
            self._cell(key, colour_cell, data, size, plan.max_steps, plan.device, filters)

    def _network_row(self, data: DataSet, row: str) -> None:
        untrained = row == "untrained"
        network = self._network(data, row)
        todo = self._missing(data, row, self._settings(network, untrained))
        if todo and self._is_lost(network):
            network = self._pretrained(data, anew=True)
            todo = self._missing(data, row, self._settings(network, untrained))
        options = self._plan.network_options(data)
        for key in todo:
            store = self._folder(key, key.seed if untrained else None) / "feats.zarr"
            self._cell(key, network_cell, data, store, options, network.checkpoint, untrained)
        if todo and not self._plan.keep:
            shutil.rmtree(self._folder(todo[0]), ignore_errors=True)

    def _settings(self, network: Network, untrained: bool) -> dict[str, Any]:
        """Return what decides a network's row, besides the images and labels."""
        from dseg.classify.ensemble.reduction import default_dims

        return {
            **({} if untrained else {"sha256": network.sha256}),
            "architecture": network.architecture,  # steps and blocks too, which no weights tell
            "rows": list(network.size),
            "recipe": self._recipe(),
            "reduced_to": default_dims(network.dims),
        }

    def _recipe(self) -> dict[str, Any]:
        """Return how the ensembles are trained: another default of dseg's is another result."""
        from dseg.classify.ensemble.recipes import Recipe

        return asdict(Recipe.default(self._plan.max_steps))

    # ---- networks ----

    def _network(self, data: DataSet, row: str) -> Network:
        """Return the network of a row; of the untrained, the one whose architecture it has."""
        if row == "builtin":
            from dseg.extract.checkpoints.builtin import BUILTIN

            return self._describe(data, BUILTIN)
        if row in self._plan.also:
            return self._describe(data, self._plan.also[row].replace("{set}", data.name))
        if row == "untrained":
            return self._architecture(data)
        given = self._plan.checkpoints.get(data.name)
        return self._pretrained(data) if given is None else self._describe(data, given)

    def _architecture(self, data: DataSet) -> Network:
        pretrained = "pretrained" in self._plan.rows or data.name in self._plan.checkpoints
        return self._network(data, "pretrained" if pretrained else "builtin")

    def _describe(self, data: DataSet, checkpoint: str) -> Network:
        place = (data.name, checkpoint)
        if place not in self._described:
            options = self._plan.network_options(data)
            plain = self._call(describe_cell, checkpoint, options)
            self._described[place] = _network(plain, checkpoint)
        return self._described[place]

    def _pretrained(self, data: DataSet, *, anew: bool = False) -> Network:
        """Return the network pretrained on a set, after pretraining it if need be.

        What it is stands in the results, so that nothing needs the checkpoint itself once all cells
        are done.
        """
        plan = self._plan
        size = plan.sizes.get(data.name)
        settings = {
            "images": data.pretraining_fingerprint,
            **asdict(plan.pretraining),
            "rows": None if size is None else list(size),
        }
        key = Key(data.name, PRETRAINING, 0, settings)
        folder = plan.out / "checkpoints" / f"{data.name}-{_digest(settings)}"
        if anew or self.results.find(key) is None:
            options = plan.network_options(data)
            self._record(key, self._call(pretraining_cell, data, folder, plan.pretraining, options))
        record = self.results.find(key)
        assert record is not None
        return _network(record.scores["network"], str(folder))

    def _is_lost(self, network: Network) -> bool:
        """Whether a network was pretrained by an earlier run and is not there any more."""
        path = Path(network.checkpoint)
        return path.is_relative_to(self._plan.out / "checkpoints") and not path.exists()

    # ---- cells ----

    def _missing(self, data: DataSet, row: str, settings: Mapping[str, Any]) -> list[Key]:
        """Return the keys, one a seed, that have no record yet."""
        known = {"data": data.fingerprint, **settings}
        keys = [Key(data.name, row, seed, known) for seed in range(self._plan.seeds)]
        return [key for key in keys if self.results.find(key) is None]

    def _cell(self, key: Key, work: Callable[..., Any], data: DataSet, *arguments: Any) -> None:
        """Compute a cell in a folder of its own, and record it."""
        folder = self._folder(key, key.seed)
        for part in ("masks", "model"):  # of a killed run
            shutil.rmtree(folder / part, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._record(key, self._call(work, data, folder, key.seed, *arguments))
        if not self._plan.keep:
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, key: Key, seed: int | None = None) -> Path:
        folder = self._plan.work / key.set / f"{key.row}-{_digest(key.settings)}"
        return folder if seed is None else folder / f"seed{seed}"

    def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments) if self._plan.in_process else apart(work, *arguments)

    def _record(self, key: Key, plain: dict[str, Any]) -> None:
        plain["notes"] = {**plain["notes"], "dseg": __version__}
        record = Record(key, **plain)
        self.results.add(record)
        self.computed.append(key)
        print(_line(record), flush=True)


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def _network(plain: Mapping[str, Any], checkpoint: str) -> Network:
    return Network(**{**plain, "size": tuple(plain["size"]), "checkpoint": checkpoint})


def _line(record: Record) -> str:
    """Say in a line what came out of a cell."""
    scores = [
        f"{name} {record.scores[key]:.3f}"
        for key, name in (("mean_iou", "mIoU"), ("auc", "AUC"))
        if record.scores.get(key) is not None
    ]
    seconds = [f"{stage} {seconds:.0f} s" for stage, seconds in record.seconds.items()]
    peak = f"{max(record.peak_mb.values()):.0f} MB"
    key = record.key
    return f"{key.set}, {key.row}, seed {key.seed}: {', '.join([*scores, *seconds, peak])}"
