"""The folder that ``dseg select`` leaves behind, whole or not at all."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ...store.atomic_folder import atomic_folder, is_free, recover_folder
from ...store.claims import claimed
from ...store.errors import InputError
from .config import SelectSummary
from .plot import draw_classes, draw_layers
from .words import page

__all__ = ["check_select_out", "claimed_report", "write_selection"]

FACTS, PAGE = "select.json", "select.md"


def check_select_out(out: Path, overwrite: bool) -> None:
    """Refuse a folder in which something else stands, or a report that may not be replaced."""
    if is_free(out):
        return
    if not (out / FACTS).is_file():
        raise InputError(
            f"'{out}' exists and does not contain a report of `dseg select`, so it is not "
            "replaced: give another --out"
        )
    if not overwrite:
        raise InputError(
            f"'{out}' contains a report already: give another --out, or replace it (--overwrite)"
        )


@contextmanager
def claimed_report(out: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keep other runs from writing the same report at the same time."""
    tidy = partial(recover_folder, out)
    with claimed(out, None, "dseg select", in_parent=True, tidy=tidy, warn=warn):
        yield


def write_selection(summary: SelectSummary, out: Path, overwrite: bool) -> None:
    """Write the facts, the page and the pictures."""
    check_select_out(out, overwrite)  # by now: it took a while
    with atomic_folder(out) as made:
        text = json.dumps(summary.to_dict(), indent=1, allow_nan=False) + "\n"
        (made / FACTS).write_text(text, encoding="utf-8")
        (made / PAGE).write_text(page(summary), encoding="utf-8")
        draw_layers(summary, made / "select")
        draw_classes(summary, made / "select-classes")
