"""What the workers of the tests' clusters are given to do; they have this folder on their path."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from dseg.pipelines.cluster.parts import refuse_unseen
from dseg.store.errors import DsegError


@dataclass(frozen=True)
class Numbers:
    """A part: numbers, and a folder in which each process that works on it leaves its name."""

    numbers: tuple[int, ...]
    folder: Path | None = None

    def __len__(self):
        return len(self.numbers)

    def singles(self):
        return [replace(self, numbers=(number,)) for number in self.numbers]


def doubled(part):
    return [2 * number for number in part.numbers]


def deadly(part):
    if 13 in part.numbers:
        os._exit(1)
    return doubled(part)


def refusing(part):
    raise DsegError("the sea is rough")


def failing(part):
    return 1 / 0


def unseen(part):
    refuse_unseen(Path("/nowhere/at/all"))


def slow(part):
    (part.folder / f"{os.getpid()}-{part.numbers[0]}").touch()
    time.sleep(0.05)
    return doubled(part)
