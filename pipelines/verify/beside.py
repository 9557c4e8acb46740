"""What killed runs left beside a folder that they would have replaced as a whole."""

import re
import shutil
from functools import partial
from pathlib import Path

from ...store.atomic_folder import finish_replacement, recover_folder
from ...store.claims import locks_beside, short_name
from ...store.read.strays import LEFT
from ..extract.target import temporary_stores
from .faults import Fault

__all__ = ["leftovers_beside"]


def leftovers_beside(path: Path) -> list[Fault]:
    """Return the hidden folders and locks that killed runs left for a folder, which need not exist.

    Parameters
    ----------
    path : Path
    """
    target = path.absolute()
    if not target.parent.is_dir():
        return []
    name = re.escape(short_name(target.name))
    form = re.compile(rf"\.{name}\.[0-9a-f]{{16}}\.part(-replaced)?")
    made = [one.name for one in target.parent.iterdir() if form.fullmatch(one.name)]
    found = [Fault(f"../{one}", LEFT, mend=partial(recover_folder, target)) for one in sorted(made)]
    for store in temporary_stores(target):
        if store.exists() or store.with_name(f"{store.name}-replaced").exists():
            words = f"{LEFT} with --overwrite or --layout dense, which would go on with it"
            found.append(Fault(f"../{store.name}", words, mend=partial(_end, store, target)))
    # whoever claims the folder removes what no process holds
    found += [Fault(f"../{lock.name}", LEFT, mend=lambda: None) for lock in locks_beside(target)]
    return found


def _end(made: Path, target: Path) -> None:
    finish_replacement(made, target)
    shutil.rmtree(made, ignore_errors=True)
