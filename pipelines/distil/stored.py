"""A store of synthetic images as what is learnt from; see `store.synthetic`.

As of a synthetic folder, its label maps are the targets, and pixels count less the more uncertain
they are. Images are read from it whenever they are seen: it is never unpacked.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from ...classify.labels.checks import check_ids
from ...classify.labels.classes import Classes
from ...classify.labels.survey import pixels_of
from ...distil.data.examples import Example, LabelTarget, StoredPicture
from ...store.errors import InputError
from ...store.synthetic import StoredImages
from ..console.progress import Progress
from ..inputs.image_list import read_list, select
from .config import DistilConfig
from .sources import warn_of_absent
from .synthetic import Synthetic, kind_of, labelled_beside, most_uncertain, refuse_model

__all__ = ["SyntheticStore"]


@dataclass(frozen=True)
class SyntheticStore(Synthetic):
    """A store of synthetic images, see `Synthetic`.

    Parameters
    ----------
    store : StoredImages
    numbers : tuple of int
        The images to learn from.
    """

    store: StoredImages
    numbers: tuple[int, ...]

    @classmethod
    def read(cls, config: DistilConfig, progress: Progress) -> Self:
        """Open the store, read each image once, and the labels beside it.

        Raises
        ------
        InputError
            If no image is to be used, or labels do not fit.
        DsegError
            If it is damaged.
        """
        refuse_model(config, "store")
        store = StoredImages.open(config.source)
        try:
            classes = Classes.from_list(store.classes)
        except InputError as error:
            raise InputError(f"the classes of '{config.source}' are damaged: {error}") from error
        numbers = _chosen(config, store, progress)
        digest = _checked(store, numbers, classes, config.ignore, progress)
        labelled = labelled_beside(config, classes, "store", progress)
        return cls(kind_of(config, classes, digest), labelled, config.ignore, store, numbers)

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width of each image, by stem."""
        return {self.store.stem(number): self.store.size for number in self.numbers}

    def some(self, stems: Sequence[str]) -> Self:
        """Return these images alone."""
        return replace(self, numbers=tuple(map(int, stems)))

    def missing(self, soft: Path) -> list[str]:
        """Return nothing: masks are learnt from as they are."""
        return []

    def examples(
        self, soft: Path, progress: Progress
    ) -> tuple[dict[str, list[Example]], dict[str, str]]:
        """Return the examples of each image."""
        geometry = self.kind.view.geometry(self.store.size)
        tiles, most = range(len(geometry.offsets)), most_uncertain(self.kind.classes)
        found = {}
        for number in self.numbers:
            picture = StoredPicture(self.store, number)
            target = LabelTarget(
                partial(self.store.label, number),
                self.ignore,
                partial(self.store.uncertainty, number),
                most,
            )
            stem = self.store.stem(number)
            found[stem] = [Example(picture, geometry, tile, target) for tile in tiles]
        return found, {}


def _chosen(config: DistilConfig, store: StoredImages, progress: Progress) -> tuple[int, ...]:
    """Return the images to take: those of ``--list``, else those that the filter kept."""
    if config.list_file is not None:
        known = [store.stem(number) for number in store.there]
        stems = select(known, read_list(config.list_file), f"images in '{config.source}'")
        return tuple(map(int, stems))
    if not store.kept:
        raise InputError(
            f"'{config.source}' keeps none of the {len(store.there)} images that it holds: finish "
            "`dseg synthesize`, keep more with another --filter, or choose images with --list"
        )
    progress.say(f"{len(store.kept)} images, those that '{config.source}' keeps")
    return store.kept


def _checked(
    store: StoredImages,
    numbers: Sequence[int],
    classes: Classes,
    ignore: int,
    progress: Progress,
) -> str:
    """Refuse what cannot be learnt from; return a hash of all that is."""
    digest, pixels = hashlib.sha256(), Counter[int]()
    with progress.bar("synthetic images", len(numbers), "images") as advance:
        for number in numbers:
            label = store.label(number)
            found = pixels_of(label)
            found.pop(ignore, None)
            check_ids(label, found, ignore, classes, f"the mask of image '{store.stem(number)}'")
            pixels.update(found)
            for part in (store.image(number), label, store.uncertainty(number)):
                digest.update(part.tobytes())
            advance(1)
    warn_of_absent(f"the masks in '{store.path}'", pixels, classes, progress)
    return digest.hexdigest()
