"""What stands in label maps, at their own size, beside what is left of it to learn from.

Pixels are learnt from at the network's size, and there, as published, no class of fewer than
`MINIMUM_PIXELS` in an image. Who labelled small things must be told of those that are lost so:
what a message says of label maps is what their files hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...classify.labels.classes import Classes
from ...classify.labels.label_maps import IGNORED, MINIMUM_PIXELS
from ...classify.labels.survey import LabelMapStats
from ...store.errors import InputError
from ...store.geometry import Geometry, resize_nearest
from .image_list import named

__all__ = ["LabelFacts", "LabelFile"]

_MAX_DESCRIBED = 3  # classes, in one message


@dataclass(frozen=True)
class LabelFile:
    """One label map.

    Parameters
    ----------
    path : path
    pixels : dict
        Of each class id in the file.
    lost : dict
        Of those ids of which nothing is learnt: pixels at the network's size.
    """

    path: Path
    pixels: Mapping[int, int]
    lost: Mapping[int, int]

    @classmethod
    def of(
        cls,
        label: NDArray[np.integer],
        stats: LabelMapStats,
        rows: NDArray[np.uint16],
        geometry: Geometry,
    ) -> "LabelFile":
        """Compare a label map with its rows.

        Parameters
        ----------
        label : array of shape (H, W), integer
        stats : LabelMapStats
            Of the same file.
        rows : array of shape (rows, height, width), uint16
            From `label_tiles`.
        geometry : Geometry
        """
        learnt_counts = np.bincount(rows.ravel(), minlength=IGNORED + 1)
        ids_lost = [k for k in stats.pixels if not learnt_counts[k]]
        lost = {}
        if ids_lost:
            resized = resize_nearest(label, geometry.resized)
            lost = {k: int(np.count_nonzero(resized == k)) for k in ids_lost}
        return cls(stats.path, stats.pixels, lost)


@dataclass(frozen=True)
class LabelFacts:
    """Some label maps together.

    Parameters
    ----------
    files : tuple of LabelFile
    classes : Classes
        All that there are in them.
    row_shape : tuple of int, optional
        What the network sees of an image; None if it sees an image in tiles.
    """

    files: tuple[LabelFile, ...]
    classes: Classes
    row_shape: tuple[int, int] | None

    @property
    def ids(self) -> list[int]:
        """The class ids that the files hold."""
        return sorted({k for file in self.files for k in file.pixels})

    @property
    def lost(self) -> list[int]:
        """The class ids that the files hold and of which nothing is learnt."""
        return [k for k in self.ids if all(k in f.lost for f in self.files if k in f.pixels)]

    def of(self, places: Sequence[int]) -> "LabelFacts":
        """Return some of them."""
        return replace(self, files=tuple(self.files[i] for i in places))

    def describe_lost(self) -> str:
        """Say which classes are lost, how, and what helps; an empty text if none is."""
        ids = self.lost
        if not ids:
            return ""
        words = [self._of_class(k) for k in ids[:_MAX_DESCRIBED]]
        if len(ids) > _MAX_DESCRIBED:
            words.append(
                f"the same goes for {named(self.classes.names[k] for k in ids[_MAX_DESCRIBED:])}"
            )
        largest = max(file.pixels.get(k, 0) for k in ids for file in self.files)
        too_coarse = largest >= MINIMUM_PIXELS and self.row_shape is not None
        advice = (
            "extract with a larger --size, or with --tile" if too_coarse else "label more of it"
        )
        return f"{'; '.join(words)}: {advice}"

    def _of_class(self, k: int) -> str:
        holding = [file for file in self.files if k in file.pixels]
        pixels, most_pixels = (
            sum(f.pixels[k] for f in holding),
            max(f.lost.get(k, 0) for f in holding),
        )
        at = "" if self.row_shape is None else f"at {self.row_shape[0]}x{self.row_shape[1]} "
        too_few = f"but {at}fewer than {MINIMUM_PIXELS}"
        if len(holding) == 1:
            too_few = f"in 1 label map, {too_few} ({most_pixels})"
        else:
            too_few = f"in {len(holding)} label maps, {too_few} in each ({most_pixels} at most)"
        name = self.classes.names[k]
        return f"class '{name}' has {pixels} pixels {too_few}, so it is left out of training"

    def describe_absent(self, n_classes: int) -> str:
        """Say which named classes no label map has; an empty text if all have pixels."""
        present = set(self.ids)
        absent = [k for k in range(n_classes) if k not in present]
        if not absent:
            return ""
        words = f"no label map has a pixel of {named(self.classes.names[k] for k in absent)}"
        if absent[-1] == n_classes - 1 and present:
            words += (
                f". The highest id in them is {max(present)}, but names are given up to class "
                f"{n_classes - 1}: does each name belong to its id?"
            )
        return words

    def check_trainable(self, counts: NDArray[np.integer], where: str) -> None:
        """Refuse label maps that nothing can be learnt from.

        Parameters
        ----------
        counts : array of shape (C,), integer
            Pixels to learn from, of each class.
        where : str
            What the label maps are called, such as "the label maps in 'labels'".

        Raises
        ------
        InputError
            If no pixel has a class, or all have the same; the message says what the files hold.
        """
        present, lost = np.flatnonzero(counts), self.describe_lost()
        if len(present) > 1:
            return
        if len(present) == 0 and not lost:
            raise InputError(f"no pixel of {where} has a class: label some pixels")
        if len(present) == 0:
            raise InputError(f"no labelled pixel of {where} remains for training: {lost}")
        only = f"'{self.classes.names[present[0]]}', in {where}"
        if lost:
            raise InputError(f"only one class remains for training, {only}: {lost}")
        raise InputError(
            f"only one class is present, {only}: training needs at least two. Label pixels "
            "of another class too"
        )
