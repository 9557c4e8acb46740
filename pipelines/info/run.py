"""``dseg info``: what a feature store, a model or a student is, in words and as plain values."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...classify.ensemble.ensemble import PixelEnsemble
from ...classify.ensemble.model_files import MODEL_FOLDER
from ...distil.networks.registry import student_kind
from ...distil.student.files import STUDENT_FOLDER, read_student
from ...store.drawn import Drawn, summarise_drawn
from ...store.errors import InputError
from ...store.read.reader import FeatureStore
from ...store.spec import FeatureSpec
from ...store.urls.location import Location, UrlPath, bytes_under
from ..console.scores import cross_validation_words
from ..inputs.image_list import read_list, select
from ..masks.segmenter import recorded_stores
from ..masks.training_set import SYNTHETIC

__all__ = ["describe", "in_words"]

_SHOWN_RANGES = 5


def describe(path: Location, list_file: Path | None = None) -> dict[str, Any]:
    """Return plain JSON values about a store, a model or a student.

    Parameters
    ----------
    path : path
    list_file : path, optional
        Of a store: stems of the images to tell of.

    Raises
    ------
    InputError
        If it is none of them, or an image of the list is not in the store.
    """
    if (path / "zarr.json").is_file():
        return _store(path, None if list_file is None else read_list(list_file))
    if isinstance(path, UrlPath):
        raise InputError(f"there is no feature store at '{path}'; models and students are local")
    if MODEL_FOLDER.is_at(path):
        if list_file is not None:
            raise InputError(f"--list selects images of a store, but '{path}' is a model")
        return _model(path)
    if STUDENT_FOLDER.is_at(path):
        if list_file is not None:
            raise InputError(f"--list selects images of a store, but '{path}' is a student")
        return _student(path)
    what = "is neither a feature store nor a model nor a student"
    what = what if path.exists() else "does not exist"
    raise InputError(
        f"'{path}' {what}: give the output of `dseg extract`, `dseg fit` or `dseg distil`"
    )


def _store(path: Location, wanted: Sequence[str] | None) -> dict[str, Any]:
    store = FeatureStore.open(path)
    known = {image.stem: image for image in store.images}
    images = [known[stem] for stem in select(list(known), wanted, f"images in '{path}'")]
    return {
        "kind": "feature store",
        "path": str(path),
        "images": len(images),
        "complete": sum(image.complete for image in images),
        "failed": {image.name: image.failed for image in images if image.failed is not None},
        "rows": sum(image.row_count for image in images),
        "codec": store.codec,
        "bytes_on_disk": bytes_under(path),
        **_synthetic(image.drawn for image in images),
        "features": _features(store.spec),
    }


def _synthetic(drawn: Iterable[Drawn | None]) -> dict[str, Any]:
    found = summarise_drawn(one for one in drawn if one is not None)
    return {SYNTHETIC: found} if found else {}


def _features(spec: FeatureSpec) -> dict[str, Any]:
    return {
        "checkpoint": spec.source,
        "backbone": _shortened(spec.backbone),
        "row_shape": list(spec.row_shape),
        "fit": spec.fit,
        "overlap": spec.overlap,
        "noise_seed": spec.noise_seed,
        "steps": list(spec.steps),
        "blocks": list(spec.blocks),
        "extras": list(spec.extras),
        "layers": [layer.name for layer in spec.layers],
        "channels": spec.dims,
        "bytes_per_row": spec.bytes_per_row,
        "hash": spec.hash,
        **({"parts": [_features(part) for part in spec.parts]} if spec.parts else {}),
    }


def _shortened(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the numbers of an embedding: its shape says what it is."""
    plain = dict(backbone)
    if "prompt" in plain:
        plain["prompt"] = f"{plain['prompt'].partition(':')[0]}: the empty prompt's embedding"
    return plain


def _model(path: Path) -> dict[str, Any]:
    model = PixelEnsemble.load(path)
    log = model.log_
    training = None
    if log is not None:
        training = {
            "recipe": log.recipe.name,
            "pixels": log.pixels,
            "seconds": log.seconds,
            "steps": [member.steps for member in log.members],
            "stopped_by": [member.stopped_by for member in log.members],
            "last_loss": [member.losses[-1][1] for member in log.members if member.losses],
        }
    return {
        "kind": "model",
        "path": str(path),
        "members": model.n_members,
        "voting": model.voting,
        "widths": list(model.stack_.widths),
        "classes": model.class_info_.to_list(),
        "training": training,
        "features": None if model.spec_ is None else _features(model.spec_),
        "extra": model.extra_,
    }


def _student(path: Path) -> dict[str, Any]:
    student = read_student(path)
    return {
        "kind": "student",
        "path": str(path),
        "network": student.kind,
        "parameters": sum(weight.numel() for weight in student.network.parameters()),
        "classes": student.classes.to_list(),
        "view": student.view.to_dict(),
        "teacher": dict(student.teacher),
        "training": dict(student.training),
        "extra": dict(student.extra),
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts of `describe` for a reader."""
    words = {"feature store": _store_words, "model": _model_words, "student": _student_words}
    lines = words[facts["kind"]](facts)
    if facts.get("features") is not None:
        lines += _feature_words(facts["features"])
    return "\n".join(lines)


def _store_words(facts: dict[str, Any]) -> list[str]:
    todo = facts["images"] - facts["complete"] - len(facts["failed"])
    lines = [
        f"Feature store '{facts['path']}', {facts['bytes_on_disk'] / 1e6:.1f} MB on disk",
        f"  images    {facts['complete']} of {facts['images']} extracted"
        + (f", {todo} to extract" if todo else "")
        + (f", {len(facts['failed'])} failed" if facts["failed"] else ""),
        f"  passes    {facts['rows']} of the network, compressed with '{facts['codec']}'",
    ]
    lines += _synthetic_words(facts)
    return lines + [f"  failed    {name}: {why}" for name, why in facts["failed"].items()]


def _synthetic_words(facts: Mapping[str, Any]) -> list[str]:
    """Return a line for each checkpoint that drew some of the images."""
    lines = []
    for entry in facts.get(SYNTHETIC, ()):
        ranges = [
            f"{first}" if first == last else f"{first} to {last}" for first, last in entry["seeds"]
        ]
        shown = ", ".join(ranges[:_SHOWN_RANGES]) + (", …" if ranges[_SHOWN_RANGES:] else "")
        lines.append(
            f"  synthetic {entry['images']} images drawn by {entry['drawn_by']['checkpoint']}, "
            f"{'seeds' if entry['images'] > 1 else 'seed'} {shown}"
        )
    return lines


def _model_words(facts: dict[str, Any]) -> list[str]:
    names = [entry["name"] for entry in facts["classes"]]
    lines = [
        f"Model '{facts['path']}': {facts['members']} members of "
        f"{' → '.join(map(str, facts['widths']))}, voting by {facts['voting']}",
        f"  classes   {len(names)}: {', '.join(names)}",
    ]
    training = facts["training"]
    if training is not None:
        steps, losses = training["steps"], training["last_loss"]
        lines.append(
            f"  training  {training['pixels']} pixels, recipe '{training['recipe']}', "
            f"{min(steps)} to {max(steps)} steps, {training['seconds']:.0f} s, last batch losses "
            f"{min(losses):.3f} to {max(losses):.3f}"
        )
    if "images" in facts["extra"]:
        lines.append(f"  images    {len(facts['extra']['images'])} labelled")
        lines += _synthetic_words(facts["extra"])
    stores = recorded_stores(facts["extra"])
    if stores:
        lines.append(f"  {'stores' if len(stores) > 1 else 'store ':<8}  {', '.join(stores)}")
    if "cross_validation" in facts["extra"]:
        words = cross_validation_words(facts["extra"]["cross_validation"])
        lines += [f"  held out  {words[0]}", *(f"            {line}" for line in words[1:])]
    return lines


def _student_words(facts: dict[str, Any]) -> list[str]:
    names, view = [entry["name"] for entry in facts["classes"]], facts["view"]
    seen = "in tiles of" if view["fit"] == "tile" else "whole, the longer side at"
    training, teacher = facts["training"], facts["teacher"]
    lines = [
        f"Student '{facts['path']}': {student_kind(facts['network']).title}, "
        f"{facts['parameters'] / 1e6:.1f} million weights",
        f"  classes   {len(names)}: {', '.join(names)}",
        f"  images    seen {seen} {view['side']} pixels",
        f"  teacher   {teacher.get('source', 'unknown')}",
    ]
    if training:
        lines.append(
            f"  training  {training['steps']} steps on {training['images']} images and "
            f"{training['labelled']} labelled ones, {training['seconds']:.0f} s"
        )
        if training.get("held_out_miou") is not None:
            lines.append(
                f"  held out  mIoU {training['held_out_miou']:.3f} against "
                f"{training['held_out_against']} on {training['held_out']} images"
            )
    return lines


def _feature_words(features: dict[str, Any], name: str = "features") -> list[str]:
    if "parts" in features:
        lines = [f"  features  {features['channels']} channels per pixel, of several networks:"]
        for number, part in enumerate(features["parts"], 1):  # as --part and --layers count them
            lines += _feature_words(part, f"part {number}")
        return lines
    height, width = features["row_shape"]
    tiles = f", overlapping by {features['overlap']}" if features["fit"] == "tile" else ""
    noise = f"; noise seed {features['noise_seed']}" if features["steps"] else ""
    draws, flip = features["backbone"].get("draws", 1), features["backbone"].get("flip", False)
    noise += f"; mean of {draws} draws of the noise" if draws > 1 else ""
    noise += "; mean with the mirror image" if flip else ""
    weights = features["backbone"].get("weights")
    return [
        f"  {name:<8}  {features['channels']} channels per pixel{noise}",
        f"  layers    {', '.join(features['layers'])}",
        (
            f"  network   input {height}x{width}, images brought to it by "
            f"'{features['fit']}'{tiles}; {features['bytes_per_row'] / 1e6:.1f} MB per pass "
            "before compression"
        ),
        f"  backbone  {features['checkpoint']}, sha256 {features['backbone'].get('sha256', '?')}"
        + (f", weights '{weights}'" if weights else ""),
    ]
