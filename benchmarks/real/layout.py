"""A set of labelled images on disk, and which of them each stage may see.

::

    <set>/images/<stem>.jpg     photographs
    <set>/labels/<stem>.png     label maps, of more images than the lists name
    <set>/classes.txt           line k, from 0, names class k
    <set>/train.txt, test.txt   stems to learn from, stems to score

Test images are kept out of everything but prediction and score: of the fit, whose list must not
share a stem with them, and of pretraining, which takes all images but them and their exact copies.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dseg.classify.label_sets.files import find_label_files
from dseg.classify.labels.classes import Classes, load_classes
from dseg.extract.images.files import list_images
from dseg.extract.images.reading import sha256_of
from dseg.pipelines.inputs.image_list import named, read_list, select
from dseg.store.errors import InputError
from dseg.store.names import stem_of

__all__ = ["DataSet", "find_sets", "read_set", "write_list"]

TRAIN, TEST = "train.txt", "test.txt"


@dataclass(frozen=True)
class DataSet:
    """A set of images; see the module's text.

    Parameters
    ----------
    folder : path
    train, test : tuple of str
        Stems; each has an image and a label map, and none is in both.
    paths : dict
        Every image of the set by stem.
    label_paths : dict
        Label maps of the train and test images by stem.
    classes : Classes
    """

    folder: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    paths: dict[str, Path]
    label_paths: dict[str, Path]
    classes: Classes

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def labels(self) -> Path:
        return self.folder / "labels"

    @cached_property
    def pretraining(self) -> tuple[str, ...]:
        """Stems of the images to pretrain on: all but the test images and exact copies of them."""
        held_out = {sha256_of(self.paths[stem]) for stem in self.test}
        return tuple(stem for stem, path in self.paths.items() if sha256_of(path) not in held_out)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the train and test images, their label maps and the classes."""
        labels = [self.label_paths[stem] for stem in (*self.train, *self.test)]
        names = "\n".join((*self.train, "", *self.test, "", *self.classes.names))
        return _digest(names, [*self._images_of((*self.train, *self.test)), *labels])

    @cached_property
    def pretraining_fingerprint(self) -> str:
        """A digest of the images to pretrain on."""
        return _digest("\n".join(self.pretraining), self._images_of(self.pretraining))

    def _images_of(self, stems: Iterable[str]) -> list[Path]:
        return [self.paths[stem] for stem in stems]


def _digest(names: str, files: Iterable[Path]) -> str:
    digest = hashlib.sha256(names.encode())
    for path in files:
        digest.update(sha256_of(path))
    return digest.hexdigest()[:16]


def find_sets(data: Path, wanted: Sequence[str] | None = None) -> list[DataSet]:
    """Return the sets of a folder, or the one set that the folder is.

    Parameters
    ----------
    data : path
    wanted : sequence of str, optional
        Names of sets, in the order in which they are to come; by default all, by name.

    Raises
    ------
    InputError
        If there is no set, or not one that is asked for, or one is not in order.
    """
    if (data / TEST).is_file():
        folders = {data.resolve().name: data.resolve()}
    elif data.is_dir():
        folders = {path.parent.name: path.parent for path in sorted(data.glob(f"*/{TEST}"))}
    else:
        raise InputError(f"'{data}' is no folder: give a set of images, or a folder of sets")
    if not folders:
        raise InputError(
            f"no set in '{data}': a set is a folder with images/, labels/, classes.txt, {TRAIN} "
            f"and {TEST}"
        )
    missing = [name for name in wanted or () if name not in folders]
    if missing:
        raise InputError(f"no set {named(missing)} in '{data}': there are {named(folders)}")
    return [read_set(folders[name]) for name in wanted or folders]


def read_set(folder: Path) -> DataSet:
    """Read which images a set has, and check that test images stay apart.

    Raises
    ------
    InputError
        If a part is missing, a listed stem has no image or no label map, or an image is both to
        learn from and to score, under one name or two.
    """
    for part in ("images", "labels", TRAIN, TEST):
        if not (folder / part).exists():
            raise InputError(f"the set '{folder}' has no {part}: see benchmarks/real/layout.py")
    images = folder / "images"
    paths = {stem_of(p.relative_to(images).as_posix()): p for p in list_images(images)}
    train, test = (_listed(folder / name, list(paths)) for name in (TRAIN, TEST))
    _refuse_overlap(folder, {stem: paths[stem] for stem in train}, test, paths)
    labels = find_label_files(folder / "labels").files
    bare = [stem for stem in (*train, *test) if stem not in labels]
    if bare:
        raise InputError(f"the lists of '{folder}' contain {named(bare)}, which have no label map")
    classes = load_classes(folder / "labels")
    if classes is None:
        raise InputError(f"'{folder}' names no classes: give classes.txt, one name a line")
    kept = {stem: labels[stem] for stem in (*train, *test)}
    return DataSet(folder, train, test, paths, kept, classes)


def _listed(path: Path, stems: Sequence[str]) -> tuple[str, ...]:
    return tuple(select(stems, read_list(path), f"images of '{path.parent.name}'"))


def _refuse_overlap(
    folder: Path, train: dict[str, Path], test: Sequence[str], paths: dict[str, Path]
) -> None:
    both = sorted(set(train) & set(test))
    if not both:
        learnt = {sha256_of(path): stem for stem, path in train.items()}
        both = [
            f"{learnt[sha256_of(paths[stem])]} = {stem}"
            for stem in test
            if sha256_of(paths[stem]) in learnt
        ]
    if both:
        raise InputError(
            f"{len(both)} images of '{folder}' are in {TRAIN} and in {TEST}: {named(both)}. "
            "What was learnt from cannot be scored: take them out of one list"
        )


def write_list(path: Path, stems: Iterable[str]) -> Path:
    """Write stems as a ``--list`` file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    return path
