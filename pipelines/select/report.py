"""The report of ``dseg select``: its folder, the page of tables, the text for the terminal."""

import json
from collections.abc import Sequence
from pathlib import Path

from ...classify.evaluation.forward_selection import MIN_GAIN
from ...store.atomic_folder import atomic_folder, is_free
from ...store.errors import InputError
from ..console.markdown import score, table
from ..inputs.image_list import duration
from .config import ScoredSet, SelectSummary
from .plot import draw_classes, draw_layers

__all__ = ["check_report_folder", "short_words", "write_report"]

_RESULTS = "select.json"
_MOST_NAMED = 8


def check_report_folder(out: Path, overwrite: bool) -> None:
    """Refuse a folder of other things, or a report that may not be replaced."""
    if is_free(out):
        return
    if not (out / _RESULTS).is_file():
        raise InputError(
            f"'{out}' exists and does not contain a report of `dseg select`, so it is not "
            "replaced: give another --out"
        )
    if not overwrite:
        raise InputError(
            f"'{out}' contains a report already: give another --out, or replace it (--overwrite)"
        )


def write_report(summary: SelectSummary, out: Path, overwrite: bool) -> None:
    """Write all results, the page and the pictures: the whole folder, or nothing."""
    check_report_folder(out, overwrite)  # again: the search took a while
    with atomic_folder(out) as made:
        text = json.dumps(summary.to_dict(), indent=1, allow_nan=False) + "\n"
        (made / _RESULTS).write_text(text, encoding="utf-8")
        (made / "select.md").write_text(_page(summary), encoding="utf-8")
        draw_layers(summary, made / "select")
        draw_classes(summary, made / "select-classes")


def short_words(summary: SelectSummary) -> str:
    """Return the table, the recommended set and its commands."""
    rows = [["set", "probe", "ensemble", "MB per pass", "network", "layers"]]
    for row in summary.sets:
        rows.append([row.title, f"{row.mean_iou:.3f}", *_costs(row), _named(row.layers)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(
        [
            *lines,
            "",
            f"Recommended: {_named(summary.recommended.layers)}",
            *(f"  {command}" for command in summary.commands),
            f"{summary.out}: tables and pictures; {duration(summary.seconds)}",
        ]
    )


def _costs(row: ScoredSet) -> list[str]:
    """Return the ensemble's score, bytes and time as words."""
    found = "–"
    if row.ensemble is not None:
        low, high = row.ensemble.interval
        found = f"{row.ensemble.mean_iou:.3f} ({low:.3f}–{high:.3f})"
    size = f"{row.bytes_per_row / 1e6:.2f} ({_percent(row.bytes_share)})"
    spent = f"{row.steps} steps" if row.steps != 1 else "1 step"
    if not row.steps:
        return [found, size, "none"]
    if row.seconds_per_row is not None:
        spent = f"{1000 * row.seconds_per_row:.0f} ms"
    return [found, size, f"{spent} ({_percent(row.time_share)})"]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _named(layers: Sequence[str]) -> str:
    more = len(layers) - _MOST_NAMED
    return ",".join(layers[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _page(summary: SelectSummary) -> str:
    """Return the page, in Markdown."""
    parts = [
        _head(summary),
        _compared(summary),
        _path(summary),
        _alone(summary),
        _how(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _head(summary: SelectSummary) -> str:
    stores = ", ".join(f"`{store}`" for store in summary.stores)
    commands = "\n".join(summary.commands)
    return (
        f"# Which layers carry the classes\n\n{stores}: {summary.n_layers} layers, on "
        f"{summary.images} labelled images in {summary.folds} folds.\n\n"
        f"Recommended: **{', '.join(summary.recommended.layers)}**\n\n"
        f"```console\n{commands}\n```\n\n"
        "![mIoU of each layer alone, by block and step](select.png)"
    )


def _compared(summary: SelectSummary) -> str:
    rows = [
        ["set", "layers", "probe", "ensemble (95 %)", "behind the best", "MB per pass", "network"]
    ]
    for number, row in enumerate(summary.sets):
        title = f"**{row.title}**" if number == 0 else row.title
        found, size, spent = _costs(row)
        behind = "–"
        if row.ensemble is not None:
            behind = f"{row.ensemble.behind:.3f} ± {row.ensemble.error:.3f}"
        rows.append([title, _named(row.layers), score(row.mean_iou), found, behind, size, spent])
    measured = summary.recommended.seconds_per_row is not None
    words = (
        "The network's time was measured on this machine, for one pass: all timesteps of a "
        "set as one batch, up to its last block."
        if measured
        else "The network's time was not measured: the share is that of the number of timesteps."
    )
    return f"## Sets compared\n\n{table(rows)}\n\n{words}" + _by_class(summary)


def _by_class(summary: SelectSummary) -> str:
    """Return the IoU of each class by set, of the ensemble if there is one."""
    found = [
        (row.title, row.iou if row.ensemble is None else row.ensemble.iou) for row in summary.sets
    ]
    classes = list(found[0][1])
    rows = [["class", *(title for title, _ in found)]]
    rows += [[name, *(score(iou.get(name)) for _, iou in found)] for name in classes]
    return f"\n\nIoU of each class:\n\n{table(rows)}"


def _path(summary: SelectSummary) -> str:
    rows = [["layers", "added", "mIoU", "gain", "MB per pass", "steps"]]
    for number, row in enumerate(summary.path, 1):
        gain = "–" if row.gain is None else f"{row.gain:+.3f} ± {row.error:.3f}"
        size = f"{row.bytes_per_row / 1e6:.2f}"
        rows.append(
            [str(number), row.layers[-1], f"{row.mean_iou:.3f}", gain, size, str(row.steps)]
        )
    return f"## Adding one layer at a time, by the probe\n\n{table(rows)}"


def _alone(summary: SelectSummary) -> str:
    classes = list(summary.alone[0].iou)
    best = {name: max(_or_zero(row.iou[name]) for row in summary.alone) for name in classes}
    rows = [["layer", "mIoU", *classes]]
    for row in sorted(summary.alone, key=lambda row: -row.mean_iou):
        cells = []
        for name in classes:
            words = score(row.iou[name])
            top = row.iou[name] is not None and best[name] > 0 and row.iou[name] == best[name]
            cells.append(f"**{words}**" if top else words)
        rows.append([row.layers[0], f"{row.mean_iou:.3f}", *cells])
    return (
        "## Each layer alone, by the probe\n\n"
        "IoU of each class; the best layer of each is bold.\n\n"
        f"{table(rows)}\n\n![IoU of each class by layer](select-classes.png)"
    )


def _how(summary: SelectSummary) -> str:
    ensemble = summary.recommended.ensemble is not None
    confirmed = (
        " The ensemble was trained briefly and scored on the same folds, so its scores are "
        "only for comparison. The recommended set is the probe's choice or, if that is "
        f"behind the best by more than one standard error or {MIN_GAIN}, the cheapest set that "
        "is not."
        if ensemble
        else " No ensemble confirmed it."
    )
    return (
        f"## Method\n\nThe probe is a logistic regression on up to {summary.sampled} "
        "labelled pixels of each image, with more pixels of rare classes, weighted back to "
        "their frequency: its IoU estimates that over all pixels. A ± is one standard error, "
        "by the jackknife over images. Sets were chosen by the scores in these tables, which "
        f"makes those slightly optimistic.{confirmed} The search took "
        f"{duration(summary.probe_seconds)} in up to {summary.memory / 1e6:.0f} MB, the rest "
        f"{duration(summary.ensemble_seconds)}."
    )


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None else value
