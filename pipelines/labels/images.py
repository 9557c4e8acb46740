"""The images that label maps are for: of a folder, or of a feature store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ...extract.images.files import find_images
from ...extract.images.reading import UnreadableImage, image_facts, sha256_of
from ...store.errors import InputError
from ...store.read.reader import FeatureStore
from ...store.urls.location import Location
from ..inputs.labelled_pixels import find_by_name, images_among_labels

__all__ = ["LabelledImages", "Shown"]


@dataclass(frozen=True)
class Shown:
    """How an image is shown.

    Parameters
    ----------
    size : (height, width)
    orientation : int
        By EXIF, 1 to 8; 1 if it is not known.
    """

    size: tuple[int, int]
    orientation: int = 1


@dataclass(frozen=True)
class LabelledImages:
    """Images by stem.

    Parameters
    ----------
    where : str
        What messages call them, such as "images in 'photos'".
    names : mapping
    files : mapping
        Those of a folder, else none.
    stored : mapping
        How those of a store are shown.
    sha256 : mapping
        Of those of a store, by name.
    """

    where: str
    names: Mapping[str, str]
    files: Mapping[str, Location]
    stored: Mapping[str, Shown]
    sha256: Mapping[str, str]

    @classmethod
    def open(cls, place: Location) -> Self:
        """Find the images.

        Raises
        ------
        InputError
            If there are none.
        """
        if (place / "zarr.json").is_file():
            images = FeatureStore.open(place).images
            return cls(
                f"images in '{place}'",
                {image.stem: image.name for image in images},
                {},
                {image.stem: Shown(image.geometry.size) for image in images},
                {image.name: image.sha256.hex() for image in images},
            )
        found = find_images([place])
        files = {stem: found.files[name] for stem, name in found.by_stem.items()}
        return cls(f"images in {found.where}", found.by_stem, files, {}, {})

    def among(self, labels: Location) -> list[Location]:
        """Return the images that lie in the folder of label maps."""
        named = {name: stem for stem, name in self.names.items()}
        found = find_by_name(labels, named)
        pairs = (
            (name, self.sha256.get(name) or sha256_of(self.files[named[name]]).hex())
            for name in found
        )
        return images_among_labels(labels, pairs)

    def shown(self, stem: str) -> Shown:
        """Return how an image is shown.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        if stem in self.stored:
            return self.stored[stem]
        try:
            facts = image_facts(self.files[stem])
        except UnreadableImage as error:
            raise InputError(f"{error} Use --list to leave it out") from error
        return Shown(facts.size, facts.orientation)
