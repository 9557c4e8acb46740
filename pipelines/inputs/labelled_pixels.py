"""The labelled pixels of a store: label maps, matched to its images and cut into the same tiles."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ...classify.label_sets.label_set import LabelOptions, LabelSet
from ...classify.label_sets.opening import open_label_set
from ...classify.labels.checks import check_ids, check_label_maps, check_size
from ...classify.labels.classes import Classes, default_classes
from ...classify.labels.label_entry import LabelEntry
from ...classify.labels.label_grid import LabelGrid
from ...classify.labels.label_maps import MINIMUM_PIXELS
from ...classify.labels.survey import LabelSurvey
from ...extract.images.reading import sha256_of
from ...store.errors import InputError
from ...store.names import composed
from ...store.read.image_tables import StoredImage
from ...store.read.protocol import Features
from ...store.sampling.pixel_set import PixelSet
from ...store.urls.location import Location, UrlPath
from ...store.urls.walking import walk, within
from ..console.progress import Progress
from .image_list import named, select
from .label_facts import LabelFacts, LabelFile
from .unreadable import Unreadable, find_unreadable

__all__ = [
    "MAX_UNNAMED_CLASSES",
    "Labelled",
    "find_by_name",
    "match_labels",
    "mismatches",
    "read_labelled",
    "images_among_labels",
    "unnamed_classes",
]

MAX_UNNAMED_CLASSES = 256
"""Classes at most if no file names them."""


@dataclass(frozen=True)
class Labelled:
    """Labelled pixels for training.

    Parameters
    ----------
    pixels : PixelSet
    y : array of shape (pixels.n,), uint16
        Each pixel's class id.
    classes : Classes
    images : tuple of str
        Stems of the images that have a label map.
    ignore : int
        The id of the label maps' pixels without a class.
    facts : LabelFacts
        Statistics of the files, one for each image.
    sha256s : mapping
        Of the file of each image, by stem, as the store said when the labels were read.
    left_out : mapping
        Labelled images whose features cannot be read, by stem, and why.
    """

    pixels: PixelSet
    y: NDArray[np.uint16]
    classes: Classes
    images: tuple[str, ...]
    ignore: int
    facts: LabelFacts
    sha256s: Mapping[str, bytes] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def changed(self, store: Features) -> list[str]:
        """Return the images that another run has written anew since the labels were read."""
        images = {image.stem: image for image in store.images}
        known = ((stem, self.sha256s.get(stem)) for stem in self.images)
        return [stem for stem, sha in known if sha is not None and not images[stem].is_still(sha)]

    @property
    def label_maps(self) -> tuple[LabelEntry, ...]:
        """The label map of each image."""
        return tuple(file.entry for file in self.facts.files)

    @property
    def scored(self) -> Classes:
        """The classes that masks are scored by: those of the label maps at their own size.

        Without names for them they may be more than ``classes``, from which lost ones are missing.
        """
        return self.facts.classes

    @property
    def share(self) -> float:
        """Fraction of the pixels of the label maps that have a class."""
        labelled = sum(sum(file.pixels.values()) for file in self.facts.files)
        return labelled / sum(file.size for file in self.facts.files)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels of each class."""
        return np.bincount(self.y, minlength=len(self.classes))

    @property
    def counts_by_image(self) -> NDArray[np.int64]:
        """Pixels of each class in each image, (images, classes)."""
        tiles = np.split(self.y, self.pixels.image_starts[1:-1])
        return np.stack([np.bincount(part, minlength=len(self.classes)) for part in tiles])

    def of(self, stems: Collection[str]) -> Self:
        """Return a subset of the images, with all classes.

        Raises
        ------
        InputError
            If nothing can be learnt from them: no pixel has a class, or all have the same.
        """
        wanted = set(stems)
        positions = [i for i, stem in enumerate(self.images) if stem in wanted]
        tiles = np.split(self.y, self.pixels.image_starts[1:-1])
        y = np.concatenate([tiles[i] for i in positions])
        counts, facts = np.bincount(y, minlength=len(self.classes)), self.facts.of(positions)
        images = tuple(self.images[i] for i in positions)
        facts.check_trainable(counts, f"the training images ({named(images)})")
        numbers = list(dict.fromkeys(self.pixels.images.tolist()))
        pixels = self.pixels.of_images([numbers[i] for i in positions])
        return replace(self, pixels=pixels, y=y, images=images, facts=facts)


def images_among_labels(folder: Location, images: Iterable[tuple[str, str]]) -> list[Location]:
    """Return the images, given by name and sha256, that lie in a label folder.

    As in the published data, where ``1.png`` is the image and ``1.npy`` its label map.
    """
    hashes = dict(images)
    found = find_by_name(folder, hashes)
    return [path for name, path in found.items() if sha256_of(path).hex() == hashes[name]]


def find_by_name(folder: Location, names: Iterable[str]) -> dict[str, Location]:
    """Return the files of a folder with certain names, in any Unicode form, by name."""
    all_names = list(names)
    if isinstance(folder, UrlPath):
        by_name = {composed(within(path, folder)): path for path in walk(folder).files}
        named = ((name, by_name.get(composed(name))) for name in all_names)
        return {name: path for name, path in named if path is not None}
    found: dict[str, Location] = {
        name: folder / name for name in all_names if (folder / name).is_file()
    }
    rest = {composed(name): name for name in all_names if name not in found and not name.isascii()}
    for path in walk(folder).files if rest else ():
        name = rest.get(composed(within(path, folder)))
        if name is not None:
            found[name] = path
    return found


def match_labels(
    known: Mapping[str, object],
    folder: Location,
    wanted: Sequence[str] | None,
    what: str,
    images: Collection[Location] = (),
    progress: Progress | None = None,
    options: LabelOptions | None = None,
) -> LabelSet:
    """Return the label maps that are to be used, in the images' order; say what they are.

    Parameters
    ----------
    known : mapping
        Its keys are the stems of the images or masks there are.
    folder : path
        The label folder, or an annotation file.
    wanted : sequence of str, optional
        Stems from ``--list``: each must have an image and a label map.
    what : str
        What the known ones are, such as "images in 'feats.zarr'".
    images : collection of path
        Files that are images, not label maps, see `images_among_labels`.
    progress : Progress, optional
        Where to say what label maps they are, and warn of files that are not read.
    options : LabelOptions, optional

    Raises
    ------
    InputError
        If a label map has no image, or a listed image no label map; the message names them. Or if
        it is not clear what they are.
    """
    progress = progress or Progress()
    chosen = None if wanted is None else select(list(known), wanted, what)
    labels = open_label_set(folder, known, images, options, progress.say, first=chosen or ())
    wrong = mismatches(labels, known, what, chosen)
    if labels.entries:
        if labels.skipped:
            progress.warn(labels.skipped)
        if labels.described:
            progress.say(f"'{folder}': {labels.described}")
        for note in labels.notes:
            progress.warn(note)
    if wrong:
        raise InputError(wrong[0])
    if chosen is None and labels.unmatched:
        progress.warn(f"'{folder}' is also about {named(labels.unmatched)}, not among the {what}")
    used = chosen or [stem for stem in known if stem in labels.entries]
    return replace(labels, entries={stem: labels.entries[stem] for stem in used})


def mismatches(
    labels: LabelSet, known: Collection[str], what: str, chosen: Sequence[str] | None
) -> list[str]:
    """Say what is wrong: no label maps, some that are of no known image, or none of a listed one.

    Parameters
    ----------
    labels : LabelSet
    known : collection of str
        Stems of the images or masks there are.
    what : str
        What the known ones are, such as "images in 'feats.zarr'".
    chosen : sequence of str, optional
        Those of them that ``--list`` names: label maps of others are of no interest.
    """
    folder, entries = labels.source, labels.entries
    if not entries and labels.unmatched:
        return [
            f"'{folder}' is about {named(labels.unmatched)}, none of which is among the "
            f"{len(known)} {what}: are these the annotations of other images?"
        ]
    if not entries:
        skipped = labels.skipped and f": {labels.skipped}"
        return [
            f"no label maps (.png, .npy, .tif or others) and no annotation file in '{folder}'"
            f"{skipped}"
        ]
    if chosen is None:
        strange = [stem for stem in entries if stem not in known]
        return strange and [
            f"{len(strange)} of {len(entries)} label maps match none of the {len(known)} "
            f"{what}: {named(strange)}. Give each label map the name of its image, or list the "
            "images to use (--list)"
        ]
    bare = [stem for stem in chosen if stem not in entries]
    return bare and [f"--list contains {named(bare)}, which have no label map in '{folder}'"]


def read_labelled(
    store: Features,
    folder: Location,
    wanted: Sequence[str] | None,
    ignore: int,
    progress: Progress,
    *,
    as_published: bool = False,
    unreadable: Unreadable = "stop",
) -> Labelled:
    """Read the label maps of a store's images.

    Parameters
    ----------
    store : Features
    folder : path
    wanted : sequence of str, optional
        Stems of the images to take.
    ignore : int
        The id of pixels without a class.
    progress : Progress
    as_published : bool
        Resize label maps to the network's input and leave out classes of fewer than 20 pixels
        there, see `label_grid`.
    unreadable : {"stop", "skip"}
        "skip": read all features of the images first, and leave out those where that fails. Else
        the run ends where it comes upon them.

    Raises
    ------
    InputError
        If labels and images do not match, a label map does not fit, ids are hardly classes, or
        nothing can be learnt.
    StoreError
        If the sha256 of an image is lost.
    """
    images = {image.stem: image for image in store.images}
    what, beside_labels = f"images in {store.where}", _images_in(folder, store)
    options = LabelOptions(ignore)
    labels = match_labels(images, folder, wanted, what, beside_labels, progress, options)
    ignore, classes = labels.ignore, labels.classes
    paths = _extracted(labels.entries, images, store, progress)
    left_out = find_unreadable(store, paths, progress) if unreadable == "skip" else {}
    paths = _without(paths, left_out, progress)
    sha256s = {stem: images[stem].sha256 for stem in paths}
    where = labels.where
    survey = LabelSurvey(where, ignore)
    rows, image_numbers, files = list[int](), list[int](), list[LabelFile]()
    places, y = list[NDArray[np.int64]](), list[NDArray[np.uint16]]()  # of each tile
    factors = list[int]()
    with progress.bar("labels", len(paths), "images") as advance:
        for stem, found in paths.items():
            image, entry = images[stem], found.shown_as(images[stem].geometry.size)
            label, palette = entry.read_with_palette()
            check_size(label.shape, image.geometry.size, entry.name, image.name)
            stats = survey.add(entry, label, palette)
            check_ids(label, stats.pixels, ignore, classes, f"label map '{entry.name}'")
            grid = LabelGrid.published() if as_published else LabelGrid.of(image.geometry)
            cells = grid.cells(label, image.geometry, ignore, stem)
            factors += [grid.factor] * len(cells)
            files.append(LabelFile.of(label, stats, [ids for _, ids in cells], image.geometry))
            places += [tile for tile, _ in cells]
            y += [ids for _, ids in cells]
            numbers = store.rows(image.index)
            rows += list(numbers)
            image_numbers += [image.index] * len(numbers)
            advance(1)
    for note in check_label_maps(survey, classes):
        progress.warn(note)
    every_y = np.concatenate(y)
    scored = classes or unnamed_classes(survey.highest + 1, where)
    network_size = None if store.spec.fit == "tile" else store.spec.row_shape
    facts = LabelFacts(tuple(files), scored, network_size, MINIMUM_PIXELS if as_published else 1)
    if classes is None:
        classes = unnamed_classes(int(every_y.max()) + 1 if len(every_y) else 1, where)
    facts.check_trainable(np.bincount(every_y, minlength=len(classes)), where)
    for words in (facts.describe_lost(), facts.describe_absent(len(classes))):
        if words:
            progress.warn(words)
    pixels = PixelSet(rows, image_numbers, places, store.spec.row_shape, factors)
    return Labelled(pixels, every_y, classes, tuple(paths), ignore, facts, sha256s, left_out)


def _images_in(folder: Location, store: Features) -> list[Location]:
    """Return the images of a store that lie in a label folder, as `images_among_labels`."""
    names = {image.name: image for image in store.images}
    # Each sha256 is a file of the store, so read only those of images whose name is in the folder.
    found = find_by_name(folder, names)
    return images_among_labels(folder, ((name, names[name].sha256.hex()) for name in found))


def _extracted(
    paths: Mapping[str, LabelEntry],
    images: Mapping[str, StoredImage],
    store: Features,
    progress: Progress,
) -> dict[str, LabelEntry]:
    """Leave out labelled images that could not be extracted; refuse those not yet extracted."""
    failed = [stem for stem in paths if images[stem].failed is not None]
    if failed:
        progress.warn(f"{named(failed)} could not be extracted: left out")
    incomplete = [s for s in paths if images[s].failed is None and not images[s].complete]
    if incomplete:
        raise InputError(
            f"the features of {named(incomplete)} are not in {store.where} yet: finish `dseg "
            "extract` first, or choose images with --list"
        )
    remaining = {stem: path for stem, path in paths.items() if stem not in failed}
    if not remaining:
        raise InputError("no labelled image is left: `dseg extract` failed on all of them")
    return remaining


def _without(
    paths: Mapping[str, LabelEntry], left_out: Mapping[str, str], progress: Progress
) -> dict[str, LabelEntry]:
    """Leave out images whose features cannot be read."""
    if left_out:
        first = next(iter(left_out.values()))
        progress.warn(f"{named(left_out)} cannot be read, and are left out. The first: {first}")
    remaining = {stem: path for stem, path in paths.items() if stem not in left_out}
    if not remaining:
        raise InputError("no labelled image is left: the features of none can be read")
    return remaining


def unnamed_classes(n: int, where: str) -> Classes:
    """Return n classes where no file names them; at least one.

    Raises
    ------
    InputError
        If there are so many that the highest id is hardly a class.
    """
    if n > MAX_UNNAMED_CLASSES:
        raise InputError(
            f"{where} have ids up to {n - 1}, and no classes.txt names that many classes. If "
            "this id means unlabelled, give it as --ignore; if the ids are numbers of "
            "objects, give all objects of a class the same id; otherwise add classes.txt"
        )
    return default_classes(max(n, 1))
