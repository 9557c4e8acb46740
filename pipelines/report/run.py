"""``dseg report``: one page about how good a model's masks are, and what to label next."""

from dataclasses import replace
from pathlib import Path

from ...store.errors import DsegError, InputError
from ...store.whole_file import write_whole
from ..console.progress import Progress
from .config import ReportConfig, ReportSummary
from .found import Found, draw, find
from .inputs import Inputs, open_inputs
from .page.document import GENERATOR, page
from .sections import held_out_sections, lead, next_section, origin_section

__all__ = ["report"]

MOST_BYTES = 10_000_000
"""Of the page."""

_HEAD = 1000  # bytes of a page within which it says what wrote it
_FOOTER = "Written by dseg report. This file needs no network and runs no script."


def report(config: ReportConfig, progress: Progress | None = None) -> ReportSummary:
    """Write the page.

    Raises
    ------
    DsegError
        If an input is damaged or of another model, or the file may not be replaced.
    """
    progress = progress or Progress()
    _check_target(config.out, config.overwrite)
    inputs = open_inputs(config, progress)
    masks = inputs.held_out
    found = None if masks is None else find(inputs, masks, progress)
    drawn = None if masks is None or found is None else draw(inputs, masks, found)
    chosen = [] if inputs.predicted is None else inputs.predicted.least_sure()
    sections = [
        next_section(inputs, found, chosen),
        *held_out_sections(inputs, masks, found, drawn),
        origin_section(inputs),
    ]
    name = config.model.resolve().name
    html = page(name, lead(inputs, masks, found), sections, _FOOTER)
    data = html.encode()
    if len(data) > MOST_BYTES:
        raise DsegError(
            f"the report would have {len(data) / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f}: "
            "are names of classes or images very long?"
        )
    write_whole(config.out, data)
    summary = replace(_summary(inputs, found), label_next=chosen)
    return replace(summary, report=str(config.out), n_bytes=len(data))


def _check_target(out: Path, overwrite: bool) -> None:
    """Refuse a file that may not be replaced; one that is no report never is."""
    if not out.exists():
        return
    if not out.is_file() or not _is_report(out):
        raise InputError(f"'{out}' exists and is not a report: give another --out")
    if not overwrite:
        raise InputError(f"'{out}' exists: give another --out, or replace it (--overwrite)")


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_HEAD)


def _summary(inputs: Inputs, found: Found | None) -> ReportSummary:
    missing = ["which images to label next (--masks)"] if inputs.predicted is None else []
    if found is None:
        return ReportSummary("", 0, missing=["scores of held-out images (--folds-out)", *missing])
    confusion = found.scores.confusion
    plain = confusion.scores(inputs.look.names)
    return ReportSummary(
        "",
        0,
        images=len(found.scores.images),
        mean_iou=plain["mean_iou"],
        pixel_accuracy=plain["pixel_accuracy"],
        interval=(found.interval.low, found.interval.high),
        iou=plain["iou"],
        suspicious=found.suspects,
        missing=missing,
    )
