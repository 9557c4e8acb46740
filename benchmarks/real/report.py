"""The results in words: Markdown tables from the records alone."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from .results import Record, Results

__all__ = ["interval", "mean_of", "names_in_order", "table"]

STAGES = ("extract", "fit", "predict")
NONE = "–"


def mean_of(records: Sequence[Record], score: str) -> float | None:
    """Return the mean of a score over the seeds; None if no seed has one."""
    values = _values(records, score)
    return fmean(values) if values else None


def interval(records: Sequence[Record], score: str) -> tuple[float, float]:
    """Return the lowest and the highest of a score; there must be one."""
    values = _values(records, score)
    return min(values), max(values)


def _values(records: Sequence[Record], score: str) -> list[float]:
    return [r.scores[score] for r in records if r.scores.get(score) is not None]


def names_in_order(
    shown: Mapping[tuple[str, str], object], rows: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Return the sets, by name, and the methods, as the table has them, that there are."""
    sets = sorted({name for name, row in shown if row in rows})
    return sets, [row for row in rows if any((name, row) in shown for name in sets)]


def table(results: Results, rows: Mapping[str, str]) -> str:
    """Return the Markdown text: mIoU at a glance, then all figures, then what they mean.

    Parameters
    ----------
    results : Results
    rows : mapping
        The methods in order, with their names.
    """
    shown = results.shown()
    sets, present = names_in_order(shown, rows)
    parts = ["# Real photographs\n", _glance(shown, sets, present, rows)]
    parts += ["\n## All figures\n", _figures(shown, sets, present, rows)]
    parts += ["\n" + "\n".join(f"- {note}" for note in _notes(shown, sets, present, rows)) + "\n"]
    return "\n".join(parts)


Shown = Mapping[tuple[str, str], Sequence[Record]]


def _glance(shown: Shown, sets: list[str], present: list[str], rows: Mapping[str, str]) -> str:
    lines = [["mIoU", *sets]]
    for row in present:
        found = [shown.get((name, row), ()) for name in sets]
        lines.append([rows[row], *(_number(mean_of(records, "mean_iou")) for records in found)])
    return _markdown(lines)


def _figures(shown: Shown, sets: list[str], present: list[str], rows: Mapping[str, str]) -> str:
    head = ["set", "method", "mIoU", "lowest–highest", "seeds", "AUC"]
    lines = [[*head, *(f"{stage}, s" for stage in STAGES), "peak MB"]]
    for name in sets:
        for row in present:
            records = shown.get((name, row), ())
            if records:
                lines.append([name, rows[row], *_scores(records), *_costs(records)])
    return _markdown(lines)


def _scores(records: Sequence[Record]) -> list[str]:
    low, high = interval(records, "mean_iou")
    return [
        _number(mean_of(records, "mean_iou")),
        f"{low:.3f}–{high:.3f}",
        str(len(records)),
        _number(mean_of(records, "auc")),
    ]


def _costs(records: Sequence[Record]) -> list[str]:
    found = []
    for stage in STAGES:
        seconds = [r.seconds[stage] for r in records if stage in r.seconds]
        found.append(f"{fmean(seconds):.0f}" if seconds else NONE)
    peak = max(value for r in records for value in r.peak_mb.values())
    return [*found, f"{peak:.0f}"]


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _markdown(lines: list[list[str]]) -> str:
    rule = ["---"] * len(lines[0])
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]) + "\n"


def _notes(shown: Shown, sets: list[str], present: list[str], rows: Mapping[str, str]) -> list[str]:
    cells = {place: rs for place, rs in shown.items() if place[0] in sets and place[1] in present}
    every = [record for records in cells.values() for record in records]
    notes = [
        "mIoU: mean over the seeds of the ensemble or forest, on masks of each image's own size; "
        "classes found in neither masks nor label maps are left out.",
        "AUC: how probable it is that a wrong pixel is more uncertain than a right one (1 is best, "
        "0.5 is chance). Uncertainty is the members' Jensen-Shannon divergence; of a forest, the "
        "entropy of its mean probabilities.",
        "Seconds: mean over the seeds; features that all seeds share were extracted once. A "
        "forest's features are computed within fit and predict. Peak: highest resident memory of "
        "any stage, interpreter and libraries included.",
        f"Machine: {_several(r.notes.get('machine') for r in every)}. "
        f"Steps of each ensemble: {_lengths(every, rows)}.",
    ]
    for name in sets:
        for record in shown.get((name, "pretraining"), ()):
            notes.append(f"{name}: {_pretraining(record)}")
        for row in present:
            for record in shown.get((name, row), ())[:1]:
                notes += [f"{name}, {rows[row]}: {words}" for words in _seen(record)]
        of_set = [record for record in every if record.key.set == name]
        if len({record.key.settings["data"] for record in of_set}) > 1:
            notes.append(f"**{name}: the methods did not have the same images and labels.**")
    if len({len(records) for records in cells.values()}) > 1:
        notes.append("**Not all methods have as many seeds: the run is not complete.**")
    return notes


def _lengths(records: Sequence[Record], rows: Mapping[str, str]) -> str:
    """Say how many steps the ensembles took; of which methods, where they differ."""
    known: dict[int, list[str]] = {}
    for record in records:
        steps, name = _steps(record), f"'{rows[record.key.row]}'"
        if steps is not None and name not in known.setdefault(steps, []):
            known[steps].append(name)
    if len(known) < 2:
        return _several(known)
    return "; ".join(f"{steps} ({', '.join(names)})" for steps, names in known.items())


def _pretraining(record: Record) -> str:
    seconds = sum(record.seconds.values())
    return (
        f"pretrained for {seconds / 60:.1f} minutes on {record.scores['images']} images without "
        f"labels, at most {max(record.peak_mb.values()):.0f} MB, {record.notes.get('machine')}."
    )


def _seen(record: Record) -> list[str]:
    """Say what of the set a network knew that this run has not pretrained."""
    count = record.notes.get("pretrained_on", 0)
    if count is None:
        return ["the checkpoint does not say which images it was pretrained on."]
    if not count or record.key.row == "pretrained":
        return []
    return [f"the network was pretrained on {count} of the set's images, none of them scored."]


def _steps(record: Record) -> int | None:
    recipe = record.key.settings.get("recipe")
    return None if recipe is None else recipe["max_steps"]


def _several(values: Iterable[object]) -> str:
    return "; ".join(sorted({str(value) for value in values if value is not None})) or NONE
