"""``dseg convert``: masks as annotations of other programs, one image after the other."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from ...classify.annotations.files.format import ClassToWrite, MaskToWrite
from ...classify.annotations.registry import format_named, write_annotations
from ...classify.inference.specks import remove_specks
from ...classify.label_sets.class_table import BACKGROUNDS
from ...classify.label_sets.files import find_label_files
from ...classify.labels.checks import check_ids
from ...classify.labels.classes import Classes, load_classes
from ...classify.labels.label_maps import IGNORED, read_label_map
from ...extract.images.files import find_images
from ...store.atomic_folder import is_free
from ...store.errors import InputError
from ...store.names import composed
from ...store.urls.location import Location
from ..console.progress import Progress
from ..inputs.image_list import named, read_list, select
from ..masks.open_manifest import open_manifest
from ..masks.open_model import files_of_model, open_mask_model
from ..masks.recipe import fingerprint, made_by, of_network_size
from .config import ConvertConfig, ConvertSummary

__all__ = ["convert"]

Records = Mapping[str, Mapping[str, object]]

_DEFAULT_MODEL = Path("model")


def convert(config: ConvertConfig, progress: Progress | None = None) -> ConvertSummary:
    """Write masks as annotations.

    Raises
    ------
    InputError
        If there are no masks, the classes or the images' names are not known, a mask holds other
        ids than classes, or something stands at ``out``.
    DsegError
        If nothing can be written.
    """
    progress = progress or Progress()
    _refuse_to_replace(config)
    records = open_manifest(config.masks).records
    _refuse_small(config, records)
    classes = _classes(config, records, progress)
    names = _names(config, records)
    wanted = None if config.list_file is None else read_list(config.list_file)
    stems = select(list(names), wanted, f"masks in '{config.masks}'")
    left_out = _left_out(config, classes)
    written = [
        ClassToWrite(k, name, colour)
        for k, (name, colour) in enumerate(zip(classes.names, classes.colours, strict=True))
        if name not in left_out
    ]
    if not written:
        raise InputError(f"all classes are left out: {named(classes.names)}")
    paths = _paths(config, records)
    with progress.bar("convert", len(stems), "images") as advance:

        def masks() -> Iterator[MaskToWrite]:
            for stem in stems:
                yield _mask(config, classes, names[stem], paths[stem])
                advance(1)

        write_annotations(config.to, masks(), written, config.out, prefix=config.prefix)
    return ConvertSummary(
        str(config.out), config.to, len(stems), tuple(one.name for one in written), left_out
    )


def _refuse_to_replace(config: ConvertConfig) -> None:
    """Refuse to remove what may be something else: a folder always, a file unless told to."""
    kind = format_named(config.to)
    is_folder = kind.target == "folder"
    if is_folder and not is_free(config.out):
        raise InputError(
            f"'{config.out}' exists already, and --to {config.to} writes a folder: give another "
            "--out, or remove it"
        )
    if not is_folder and config.out.is_dir():
        raise InputError(
            f"'{config.out}' is a folder, but --to {config.to} writes a file: give the name of a "
            f"file, such as '{config.out / ('masks' + kind.suffix)}'"
        )
    if not is_folder and config.out.exists() and not config.overwrite:
        raise InputError(
            f"'{config.out}' exists already: give another --out, or replace it (--overwrite)"
        )


def _refuse_small(config: ConvertConfig, records: Records) -> None:
    """Refuse masks of the network's size, which do not lie on the images."""
    if any(of_network_size(record.get("recipe")) for record in records.values()):
        raise InputError(
            f"'{config.masks}' holds masks of the network's size (predict --paper), which do not "
            "fit on the images: predict them without --paper"
        )


def _classes(config: ConvertConfig, records: Records, progress: Progress) -> Classes:
    if config.model is not None:
        return open_mask_model(config.model, torch.device("cpu")).classes
    found = load_classes(config.masks, progress.say)
    if found is not None:
        return found
    if _made(records):
        return open_mask_model(_DEFAULT_MODEL, torch.device("cpu")).classes
    raise InputError(
        f"the names of the classes in '{config.masks}' are not known: give the model that made the "
        "masks with --model, or write the names to classes.txt in that folder"
    )


def _made(records: Records) -> bool:
    """Whether the model in the default folder made all masks."""
    files = files_of_model(_DEFAULT_MODEL) if _DEFAULT_MODEL.is_dir() else ()
    if not records or not files or not all(path.is_file() for path in files):
        return False
    model = fingerprint(_DEFAULT_MODEL)
    return all(made_by(record.get("recipe"), model) for record in records.values())


def _names(config: ConvertConfig, records: Records) -> dict[str, str]:
    """Return the name of each mask's image, by stem."""
    if config.images is None and records:
        return {stem: str(record["image"]) for stem, record in records.items()}
    if config.images is None:
        raise InputError(
            f"'{config.masks}' was not written by `dseg predict`, so the names of the images are "
            "not known: give their folder with --images"
        )
    by_stem = find_images([config.images]).by_stem
    stems = records.keys() or find_label_files(config.masks, what="mask").files.keys()
    without = [stem for stem in stems if stem not in by_stem]
    if without:
        raise InputError(f"'{config.images}' has no image for the masks {named(without)}")
    if not stems:
        raise InputError(f"no masks in '{config.masks}'")
    return {stem: by_stem[stem] for stem in stems}


def _paths(config: ConvertConfig, records: Records) -> Mapping[str, Location]:
    """Return where each mask is, by stem."""
    if records:
        return {stem: config.masks / str(record["mask"]) for stem, record in records.items()}
    return find_label_files(config.masks, what="mask").files


def _left_out(config: ConvertConfig, classes: Classes) -> tuple[str, ...]:
    if not config.leave_out:
        return tuple(name for name in classes.names if name.lower() in BACKGROUNDS)
    given = [composed(name) for name in config.leave_out]
    unknown = [name for name in given if name not in classes.names]
    if unknown:
        raise InputError(
            f"--leave-out names {named(unknown)}: the classes are {named(classes.names)}"
        )
    return tuple(given)


def _mask(config: ConvertConfig, classes: Classes, image: str, path: Location) -> MaskToWrite:
    """Return a mask, its specks removed if that is asked for."""
    label = read_label_map(path)
    unlabelled = label == config.ignore
    ids = np.unique(label[~unlabelled]).tolist()
    check_ids(label, ids, config.ignore, classes, f"mask '{path.name}'")
    mask = np.where(unlabelled, IGNORED, label).astype(np.uint16)
    file = None if config.images is None else config.images / image
    return MaskToWrite(image, remove_specks(mask, config.min_size), file)
