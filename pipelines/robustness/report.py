"""The results of a robustness study in words: Markdown tables from the cells alone."""

from statistics import fmean

from ..console.markdown import score, table
from .corruptions import group_of
from .results import CLEAN, Results, short_names

__all__ = ["report_text"]


def report_text(results: Results, picture: str) -> str:
    """Return the Markdown text: mIoU at a glance, each corruption, each class, what it means.

    Parameters
    ----------
    results : Results
    picture : str
        File name of the plot beside it.
    """
    parts = [
        "# mIoU under corruptions\n",
        *_glance(results),
        f"\n![mIoU by severity]({picture})\n",
    ]
    names = short_names(list(results.models.values()))
    for model, name in zip(results.models, names, strict=True):
        parts += [f"\n## {name}\n", _corruptions(results, model), "", _classes(results, model)]
    parts += ["\n## Method\n", *_notes(results)]
    return "\n".join(parts) + "\n"


def _by_severity(results: Results) -> list[list[str]]:
    """Return the cells of the table of means, its head first: a line a model."""
    severities = results.severities
    rows = [["model", "clean", *map(str, severities), "mean", "kept"]]
    names = short_names(list(results.models.values()))
    for model, name in zip(results.models, names, strict=True):
        clean = results.mean_iou(model, CLEAN, 0)
        each = [results.averaged(model, [severity]) for severity in severities]
        mean = results.averaged(model, severities)
        kept = "–" if mean is None or not clean else f"{mean / clean:.0%}"
        rows.append([name, *map(score, [clean, *each, mean]), kept])
    return rows


def _glance(results: Results) -> list[str]:
    shared = results.shared()
    left_out = [name for name in results.corruptions if name not in shared]
    words = f"By severity, mean over {len(shared)} corruptions"
    if left_out:
        words += (
            f" that all models have at all severities (without {', '.join(map(_words, left_out))})"
        )
    what = '; "kept" is the mean over all severities as a share of clean.\n'
    return [words + what, table(_by_severity(results))]


def _corruptions(results: Results, model: str) -> str:
    rows = [["corruption", "group", "clean", *map(str, results.severities)]]
    for name in results.corruptions:
        values = [results.mean_iou(model, name, s) for s in (0, *results.severities)]
        rows.append([_words(name), group_of(name), *map(score, values)])
    return table(rows, words=2)


def _classes(results: Results, model: str) -> str:
    """Return IoU by class: clean, and by severity the mean over this model's corruptions."""
    rows = [["class", "clean", *map(str, results.severities)]]
    for name in results.settings.classes:
        means = []
        for severity in (0, *results.severities):
            cells = [
                cell["iou"][name]
                for (key, _, at), cell in results.cells.items()
                if (key, at) == (model, severity)
            ]
            known = [value for value in cells if value is not None]
            means.append(fmean(known) if known else None)
        rows.append([name, *map(score, means)])
    return table(rows)


def _notes(results: Results) -> list[str]:
    done = results.settings
    models = "; ".join(f"`{path}` (sha256 {key[:12]}…)" for key, path in results.models.items())
    return [
        f"- Models: {models}.",
        (
            f"- {done.images} images, {len(done.classes)} classes, ignore label "
            f"{done.ignore}; mIoU as `dseg evaluate` computes it, on masks of each image's own "
            "size. Clean: the images as they are."
        ),
        f"- Corruptions of {done.corrupted_by}, seed {done.seed}, after Hendrycks and "
        "Dietterich, ICLR 2019, with their constants; frost, motion blur, snow and elastic "
        "transform as in Michaelis et al., arXiv 1907.07484. An image is given the same noise at "
        "all severities.",
        (
            f"- Larger images are resized to a shorter side of {done.side} before they are "
            "corrupted, or to the network's size where that is larger, because the constants are "
            "lengths in pixels of photographs of about that size."
        ),
        (
            "- Severities are not always ordered: glass blur 1 looks stronger than 2, and "
            "saturate 1 and 2 take colour away while 3 to 5 add it."
        ),
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")
