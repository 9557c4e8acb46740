"""A feature store: its metadata, its tables, the chunks of its images, and what belongs to none."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ...extract.images.files import find_images
from ...extract.images.reading import sha256_of
from ...store.errors import NoStoreError, StoreError
from ...store.format.layout import initial_attributes, open_group, read_header
from ...store.read.documents import DOCUMENT, find_damaged_documents
from ...store.read.image_tables import StoredImage
from ...store.read.integrity import find_damaged_images, find_missing_chunks
from ...store.read.reader import FeatureStore
from ...store.read.strays import Stray, find_strays
from ...store.write.restoring import (
    Images,
    find_damaged_tables,
    restore_documents,
    restore_root,
    restore_tables,
)
from ...store.write.writer import FeatureWriter
from ..console.progress import Progress
from ..inputs.image_survey import survey_images
from .faults import Aside, Fault, Subject

__all__ = ["StoreSubject"]


class StoreSubject(Subject):
    """A feature store.

    Parameters
    ----------
    path : Path
    aside : Aside
    folder : Path, optional
        The folder of its images, from which names and sizes are known.
    """

    kind = "feature store"
    again = "repeat the same extract command, or add --images"

    def __init__(self, path: Path, aside: Aside, folder: Path | None) -> None:
        super().__init__(path, aside)
        self._folder = folder
        self._whole: set[int] = set()  # images that were read, and are whole

    def faults(self, progress: Progress, *, alone: bool) -> list[Fault]:
        """Return what is wrong: of the root, else of metadata, else of tables, else of images."""
        found = self._of_root() or self._of_documents() or self._of_tables()
        if found:
            return found
        try:
            store = FeatureStore.open(self._path)
        except StoreError as error:
            return [Fault(DOCUMENT, str(error))]
        self.images = len(store.images)
        return self._of_images(store, progress) + (self._of_strays(store) if alone else [])

    def _of_root(self) -> list[Fault]:
        try:
            group = open_group(self._path)
            attributes = group.attrs.asdict()
            if attributes == initial_attributes():
                return [Fault(DOCUMENT, "its creation was interrupted: repeat the extract command")]
            read_header(group, f"'{self._path}'")
        except StoreError as error:
            if isinstance(error, NoStoreError) and not (self._path / "layers").is_dir():
                raise
            return [Fault(DOCUMENT, str(error), mend=lambda: restore_root(self._path))]
        return []

    def _of_documents(self) -> list[Fault]:
        group = open_group(self._path)
        header = read_header(group, f"'{self._path}'")
        found = find_damaged_documents(self._path, header, group.attrs.asdict())
        return [
            Fault(key, words, mend=partial(restore_documents, self._path, [key]))
            for key, words in found.items()
        ]

    def _of_tables(self) -> list[Fault]:
        try:
            found = find_damaged_tables(self._path)
        except StoreError as error:
            return [Fault(DOCUMENT, str(error))]
        return [Fault(name, words, mend=self._restore_tables) for name, words in found.items()]

    def _restore_tables(self) -> None:
        damaged = find_damaged_tables(self._path)
        if damaged:
            restore_tables(self._path, damaged, self._known_images())

    def _known_images(self) -> Images | None:
        if self._folder is None:
            return None
        files = find_images([self._folder]).files
        sizes = survey_images(files, Progress()).sizes
        return Images(lambda: {sha256_of(path): name for name, path in files.items()}, sizes)

    def _of_images(self, store: FeatureStore, progress: Progress) -> list[Fault]:
        found = find_missing_chunks(store, [image for image in store.images if image.complete])
        done = [image for image in store.images if image.complete or image.failed is not None]
        rest = [one for one in done if one.index not in found and one.index not in self._whole]
        with progress.bar("verify", len(rest), "images") as advance:
            found |= find_damaged_images(store, rest, advance)
        self._whole |= {image.index for image in rest} - found.keys()
        return [self._to_forget(store.images[number], found[number]) for number in sorted(found)]

    def _to_forget(self, image: StoredImage, words: str) -> Fault:
        def mend() -> None:
            FeatureWriter(self._path).forget_image(image.index)

        short = words.removeprefix(f"image '{image.name}'").lstrip(":, ")
        return Fault(image.name, short, image.stem, mend, remade=True)

    def _of_strays(self, store: FeatureStore) -> list[Fault]:
        strays = find_strays(store)
        of_images: dict[int, list[Stray]] = {}
        for stray in strays:
            if stray.image is not None:
                of_images.setdefault(stray.image, []).append(stray)
        found = [self._without_flag(store.images[n], of_images[n]) for n in sorted(of_images)]
        return found + [self._stray(stray) for stray in strays if stray.image is None]

    def _without_flag(self, image: StoredImage, strays: list[Stray]) -> Fault:
        words = f"{len(strays)} files are of it, such as '{strays[0].key}', but it is not complete"

        def mend() -> None:
            self._remove(stray.key for stray in strays)

        return Fault(image.name, words, image.stem, mend, remade=True)

    def _stray(self, stray: Stray) -> Fault:
        def mend() -> None:
            if stray.ours:
                self._remove([stray.key])
            else:
                self._aside.move(self._path / stray.key)
                self._prune(self._path / stray.key)

        return Fault(stray.key, stray.words, mend=mend)

    def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            file = self._path / key
            file.unlink(missing_ok=True)
            self._prune(file)

    def _prune(self, file: Path) -> None:
        """Remove the folders that are empty without a file."""
        for folder in file.parents:
            if folder == self._path or not folder.is_dir() or any(folder.iterdir()):
                return
            folder.rmdir()
