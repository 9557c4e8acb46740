"""A part of a run in which there is nothing to do, for `cluster.py`."""

from dataclasses import dataclass

__all__ = ["Nothing", "do_nothing"]


@dataclass(frozen=True)
class Nothing:
    """A part.

    Parameters
    ----------
    number : int
    """

    number: int

    def __len__(self) -> int:
        return 1

    def singles(self) -> list["Nothing"]:
        """Return itself."""
        return [self]


def do_nothing(part: Nothing) -> bool:
    """Do nothing."""
    return True
