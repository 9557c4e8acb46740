"""A part of a synthesis that a worker of a cluster does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from ...extract.networks.devices import choose_device
from ...store.claims import claimed
from ...store.differences import differences
from ...store.errors import DsegError
from ..cluster.once import once, one_at_a_time
from ..cluster.parts import refuse_unseen
from ..console.progress import Progress
from .config import SynthesizeConfig
from .making import Maker

__all__ = ["SynthesizePart", "synthesize_part"]


@dataclass(frozen=True)
class SynthesizePart:
    """What a worker is told.

    Parameters
    ----------
    run : str
        Names the run, and is the key of its claim.
    config : SynthesizeConfig
        With absolute paths.
    facts : mapping
        What decides each image and mask.
    numbers : tuple of int
        Of the images.
    """

    run: str
    config: SynthesizeConfig
    facts: Mapping[str, Any]
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def singles(self) -> list[Self]:
        """Return parts of one image each."""
        return [replace(self, numbers=(one,)) for one in self.numbers]


def synthesize_part(part: SynthesizePart) -> bool:
    """Do a part, in a worker; what a lost worker has done of it stays.

    Raises
    ------
    DsegError
        If the worker does not see the files, or has another network.
    """
    with one_at_a_time():
        refuse_unseen(part.config.model, part.config.out)
        maker = once(part.run, lambda: _maker(part))
        with claimed(part.config.out, part.run, "dseg synthesize") as claim:
            target = maker.target(claim.exclusive)
            todo = [number for number in part.numbers if number not in target.scores]
            maker.make(target, maker.images, todo, lambda _: None, claim.exclusive)
    return True


def _maker(part: SynthesizePart) -> Maker:
    maker = Maker(part.config, choose_device(part.config.settings.device), Progress())
    moved = {"model", "checkpoint"}  # paths, which are absolute here
    ours, theirs = (
        {key: value for key, value in facts.items() if key not in moved}
        for facts in (maker.facts, part.facts)
    )
    if ours != theirs:
        raise DsegError(
            "a worker would make other images than the run that gave it its part: they differ in "
            + "; ".join(differences(ours, theirs, {}))
        )
    return maker
