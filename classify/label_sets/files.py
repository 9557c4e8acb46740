"""Which files of a folder are label maps, and of which images they are."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...store.errors import InputError
from ...store.names import stem_of
from ...store.urls.location import Location
from ...store.urls.walking import Walk, count_suffixes, lower_suffix, walk, within

__all__ = ["GROUPS", "LabelFiles", "find_label_files"]

# Of one folder, the files of one of these groups are read: the first of which one is a label map.
GROUPS = (
    (".png", ".npy"),
    (".tif", ".tiff", ".npz", ".bmp", ".gif", ".webp"),
    (".jpg", ".jpeg"),
)
"""The last ones are of photographs, too."""

_OTHERS = frozenset({suffix for group in GROUPS for suffix in group}) | {
    *(".gz", ".json", ".mat", ".nii", ".xml")
}
"""Endings of what programs keep labels in."""

_SEPARATORS = "_-. "

# What the files of a data set end with, where several kinds lie side by side; the first is taken.
_PREFERRED = ("_gtFine_labelIds", "_gtCoarse_labelIds", "_gtFine_labelTrainIds")


_PREFERRED_FOLDERS = ("SegmentationClass", "SegmentationClassPNG", "labels", "masks")


@dataclass(frozen=True)
class LabelFiles:
    """The label maps of a folder.

    Parameters
    ----------
    files : mapping
        Path of each by its image's stem; of one that has no image, by its own.
    root : path
        The folder that they are in: the one given, or a folder of it.
    ending : str
        What the names have more than those of their images, such as "_mask"; often nothing.
    skipped : str
        In words, which files may be label maps too but are not read; empty if there are none.
    """

    files: Mapping[str, Location]
    root: Location
    ending: str = ""
    skipped: str = ""


def find_label_files(
    root: Location,
    images: Collection[Location] = (),
    known: Collection[str] | None = None,
    what: str = "label map",
) -> LabelFiles:
    """Find the label maps of a folder and its sub-folders; links to folders are followed.

    A file is of the image with the same path without extension, in Unicode's composed form. If no
    file is, the names may have an ending of their own, such as ``7_mask.png`` for ``7.jpg``; or all
    are in one sub-folder, such as ``SegmentationClass/`` of what CVAT and labelme export.

    Parameters
    ----------
    root : path
    images : collection of path
        Files known to be images, which are no labels: both may be in one folder.
    known : collection of str, optional
        Stems of the images; None where there are none to compare with.
    what : str
        What errors call one.

    Raises
    ------
    InputError
        If the folder does not exist, two files are of one image, or files of several endings are.
    """
    if not root.is_dir():
        raise InputError(f"the label folder '{root}' does not exist")
    found, excluded = walk(root), {image.resolve() for image in images}
    groups = list(_grouped(found, root, excluded, what))
    stems = None if known is None else set(known)
    pairs = (_paired(group, stems, root) for group in groups)
    paired = next((pair for pair in pairs if pair is not None), None)
    if paired is None and stems:
        inner = _folder_for(stems, groups, root)
        if inner is not None:
            return find_label_files(inner, images, known, what)
    files, ending = paired or next(((group, "") for group in groups if group), ({}, ""))
    return LabelFiles(files, root, ending, _skipped(found, root, files, excluded, stems))


def _folder_for(
    known: set[str], groups: Iterable[Mapping[str, Location]], root: Location
) -> Location | None:
    """Return the sub-folder in which label maps of the images are, if only one may be it."""
    parts = (stem.partition("/") for group in groups for stem in group)
    folders = {first for first, _, rest in parts if rest in known}
    best = [name for name in _PREFERRED_FOLDERS if name in folders]
    if best or len(folders) == 1:
        return root / (best or list(folders))[0]
    return None


def _grouped(
    found: Walk, root: Location, excluded: Collection[Location], what: str
) -> Iterable[dict[str, Location]]:
    """Yield the files of each group that there are, by their stems."""
    by_suffix = {suffix: number for number, group in enumerate(GROUPS) for suffix in group}
    groups: list[list[Location]] = [[] for _ in GROUPS]
    for path in found.files:
        number = by_suffix.get(lower_suffix(path))
        if number is None or path.resolve() in excluded:
            continue
        if not isinstance(path, Path) or path.is_file():
            groups[number].append(path)
    for group in groups:
        if group:
            yield _by_stem(group, root, what)


def _by_stem(paths: Iterable[Location], root: Location, what: str) -> dict[str, Location]:
    found: dict[str, Location] = {}
    for path in paths:
        stem = stem_of(within(path, root))
        if stem in found:
            raise InputError(
                f"two {what}s for '{stem}': '{found[stem]}' and '{path}'. Remove one of them"
            )
        found[stem] = path
    return found


def _paired(
    group: dict[str, Location], known: set[str] | None, root: Location
) -> tuple[dict[str, Location], str] | None:
    """Return the files of a group by their images' stems, and their ending; None if none fits."""
    if known is None or not known.isdisjoint(group):
        return group, ""
    kinds = _by_ending(group, known)
    if not kinds:
        return None
    ending = next((one for one in _PREFERRED if one in kinds), None)
    if ending is None and len(kinds) > 1:
        counts = ", ".join(f"{len(files)} '…{one}'" for one, files in sorted(kinds.items()))
        raise InputError(
            f"'{root}' has files of several kinds for the images, by the ends of their names "
            f"({counts}): move the label maps into a folder of their own"
        )
    ending = next(iter(kinds)) if ending is None else ending
    left_out = {path for files in kinds.values() for path in files.values()}
    rest = {stem: path for stem, path in group.items() if path not in left_out}
    return {**kinds[ending], **rest}, ending


def _by_ending(group: Mapping[str, Location], known: set[str]) -> dict[str, dict[str, Location]]:
    """Return files by their ending and the stem of the image whose name they begin with."""
    images = {stem: stem for stem in known}
    images |= {base: stem for base, stem in _without_common_ending(known) if base not in known}
    kinds: dict[str, dict[str, Location]] = defaultdict(dict)
    for stem, path in group.items():
        starts = [at for at, sign in enumerate(stem) if sign in _SEPARATORS]
        start = next((at for at in reversed(starts) if stem[:at] in images), None)
        if start is not None:
            kinds[stem[start:]][images[stem[:start]]] = path
    return dict(kinds)


def _without_common_ending(known: Collection[str]) -> list[tuple[str, str]]:
    """Return names without the ending that all share, such as "_leftImg8bit", and with it."""
    endings = Counter(
        stem[max(map(stem.rfind, _SEPARATORS)) :]
        for stem in known
        if max(map(stem.rfind, _SEPARATORS)) > stem.rfind("/")
    )
    if len(endings) != 1:
        return []
    ((ending, count),) = endings.items()
    if count < len(known) or not ending[1:2].isalpha():
        return []
    return [(stem.removesuffix(ending), stem) for stem in known]


def _skipped(
    found: Walk,
    root: Location,
    files: Mapping[str, Location],
    excluded: Collection[Location],
    known: set[str] | None,
) -> str:
    """Say which files may be label maps too; those of other stems only if there is no label map."""
    taken = set(files.values())
    others = [
        path
        for path in found.files
        if lower_suffix(path) in _OTHERS
        and path not in taken
        and path.name != "classes.json"
        and (stem := stem_of(within(path, root))) not in files
        and (not files or known is None or stem in known)
        and path.resolve() not in excluded
    ]
    hidden = sum(lower_suffix(path) in GROUPS[0] for path in found.hidden)
    parts = [
        *([count_suffixes(others)] if others else []),
        *([f"{hidden} hidden"] if hidden else []),
    ]
    if not parts:
        return ""
    why = ""
    if others and files:
        kinds = " and ".join(sorted({lower_suffix(path) for path in taken}))
        why = f" (label maps of one kind are read, here {kinds}: move others to another folder)"
    return f"skipped in '{root}': {', '.join(parts)}{why}"
