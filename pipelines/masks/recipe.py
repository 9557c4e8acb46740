"""How masks were made: the ``recipe`` of a manifest's record."""

import hashlib
from pathlib import Path

from .open_model import files_of_model

__all__ = ["fingerprint", "made_by", "masks_key", "of_network_size"]


def fingerprint(folder: Path) -> str:
    """Return a sha256 of the files of a model, which identifies it."""
    digest = hashlib.sha256()
    for path in files_of_model(folder):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def masks_key(model: str, *, paper: bool, min_size: int = 0) -> str:
    """Return what identifies how masks were made: the ``recipe`` of a manifest's record."""
    made = f"{model}-min{min_size}" if min_size > 1 else model
    return f"{made}-paper" if paper else made


def made_by(recipe: object, model: str) -> bool:
    """Whether a record's ``recipe`` is of masks of a model, given by its `fingerprint`."""
    return isinstance(recipe, str) and (recipe == model or recipe.startswith(f"{model}-"))


def of_network_size(recipe: object) -> bool:
    """Whether a record's ``recipe`` is of masks that do not have their image's size."""
    return isinstance(recipe, str) and recipe.endswith("-paper")
