"""The folder that ``dseg select`` leaves behind, whole or not at all."""

import json
from pathlib import Path

from ...store.atomic_folder import atomic_folder, is_free
from ...store.errors import InputError
from .config import SelectSummary
from .plot import draw_classes, draw_layers
from .words import page

__all__ = ["check_select_out", "write_selection"]

RESULTS_FILE, PAGE = "select.json", "select.md"


def check_select_out(out: Path, overwrite: bool) -> None:
    """Refuse a folder in which something else stands, or a report that may not be replaced."""
    if is_free(out):
        return
    if not (out / RESULTS_FILE).is_file():
        raise InputError(
            f"'{out}' exists and does not contain a report of `dseg select`, so it is not "
            "replaced: give another --out"
        )
    if not overwrite:
        raise InputError(
            f"'{out}' contains a report already: give another --out, or replace it (--overwrite)"
        )


def write_selection(summary: SelectSummary, out: Path, overwrite: bool) -> None:
    """Write the facts, the page and the pictures."""
    check_select_out(out, overwrite)  # by now: it took a while
    with atomic_folder(out) as made:
        text = json.dumps(summary.to_dict(), indent=1, allow_nan=False) + "\n"
        (made / RESULTS_FILE).write_text(text, encoding="utf-8")
        (made / PAGE).write_text(page(summary), encoding="utf-8")
        draw_layers(summary, made / "select")
        draw_classes(summary, made / "select-classes")
