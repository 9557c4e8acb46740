"""The kinds of students by their names."""

from collections.abc import Mapping

from ...store.errors import InputError
from .deeplab import DEEPLAB
from .fpn import FPN
from .mobilenet import MOBILENET
from .segformer import SEGFORMER
from .start import StudentKind

__all__ = ["KINDS", "student_kind"]

KINDS: Mapping[str, StudentKind] = {
    kind.name: kind for kind in (FPN, MOBILENET, SEGFORMER, DEEPLAB)
}


def student_kind(name: str) -> StudentKind:
    """Return a kind of student.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in KINDS:
        raise InputError(f"there is no student network '{name}': use one of {', '.join(KINDS)}")
    return KINDS[name]
