"""Compare label maps at their own size with what remains of them for training.

The published recipe uses pixels at the network's size, and no class with fewer than 20 in an image.
Users who labelled small objects are told which classes are lost; messages count the pixels of the
files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...classify.labels.classes import Classes
from ...classify.labels.label_entry import LabelEntry
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
    entry : LabelEntry
    pixels : dict
        Number of pixels of each class id in the file.
    lost : dict
        For ids that are lost in training: their pixels at the network's size.
    size : int
        All pixels of the file.
    """

    entry: LabelEntry
    pixels: Mapping[int, int]
    lost: Mapping[int, int]
    size: int

    @classmethod
    def of(
        cls,
        label: NDArray[np.integer],
        stats: LabelMapStats,
        learnt: Sequence[NDArray[np.uint16]],
        geometry: Geometry,
    ) -> "LabelFile":
        """Compare a label map with what is trained on.

        Parameters
        ----------
        label : array of shape (H, W), integer
        stats : LabelMapStats
            Of the same file.
        learnt : sequence of arrays of shape (pixels,), uint16
            The ids of the training pixels of each tile.
        geometry : Geometry
        """
        ids_learnt = set(np.unique(np.concatenate(learnt)).tolist())
        ids_lost = [k for k in stats.pixels if k not in ids_learnt]
        lost = {}
        if ids_lost:
            resized = resize_nearest(label, geometry.resized)
            lost = {k: int(np.count_nonzero(resized == k)) for k in ids_lost}
        return cls(stats.entry, stats.pixels, lost, label.size)


@dataclass(frozen=True)
class LabelFacts:
    """Several label maps.

    Parameters
    ----------
    files : tuple of LabelFile
    classes : Classes
        The classes of the files.
    row_shape : tuple of int, optional
        The network's size; None if images are cut into tiles of their own size.
    minimum_pixels : int
        A class of fewer pixels in an image is not trained on there.
    """

    files: tuple[LabelFile, ...]
    classes: Classes
    row_shape: tuple[int, int] | None
    minimum_pixels: int

    @property
    def ids(self) -> list[int]:
        """The class ids that the files hold."""
        return sorted({k for file in self.files for k in file.pixels})

    @property
    def lost(self) -> list[int]:
        """The class ids in the files that are lost in training."""
        return [k for k in self.ids if all(k in f.lost for f in self.files if k in f.pixels)]

    def of(self, places: Sequence[int]) -> "LabelFacts":
        """Return a subset of the files, by index."""
        return replace(self, files=tuple(self.files[i] for i in places))

    def describe_lost(self) -> str:
        """Describe which classes are lost, why, and what helps; empty if none is."""
        ids = self.lost
        if not ids:
            return ""
        words = [self._of_class(k) for k in ids[:_MAX_DESCRIBED]]
        if len(ids) > _MAX_DESCRIBED:
            words.append(
                f"the same goes for {named(self.classes.names[k] for k in ids[_MAX_DESCRIBED:])}"
            )
        largest = max(file.pixels.get(k, 0) for k in ids for file in self.files)
        too_coarse = largest >= self.minimum_pixels and self.row_shape is not None
        advice = (
            "extract with a larger --size, with --tile, or fit without --recipe paper"
            if too_coarse
            else "label more of it"
        )
        return f"{'; '.join(words)}: {advice}"

    def _of_class(self, k: int) -> str:
        holding = [file for file in self.files if k in file.pixels]
        pixels, most_pixels = (
            sum(f.pixels[k] for f in holding),
            max(f.lost.get(k, 0) for f in holding),
        )
        at = "" if self.row_shape is None else f"at {self.row_shape[0]}x{self.row_shape[1]} "
        too_few = f"but {at}fewer than {self.minimum_pixels}"
        if len(holding) == 1:
            too_few = f"in 1 label map, {too_few} ({most_pixels})"
        else:
            too_few = f"in {len(holding)} label maps, {too_few} in each ({most_pixels} at most)"
        name = self.classes.names[k]
        return f"class '{name}' has {pixels} pixels {too_few}, so it is left out of training"

    def describe_absent(self, n_classes: int) -> str:
        """Describe which named classes are in no label map; empty if all have pixels."""
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
