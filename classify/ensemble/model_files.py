"""Models on disk: a folder of one safetensors and one JSON file; published ones can be read.

===================== ====================================================================
file                  holds
===================== ====================================================================
members.safetensors   `MemberStack.state_dict`: every tensor with a leading member axis
model.json            ``format``, ``version``; ``parameters`` of the `PixelEnsemble`;
                      ``labels`` (``dtype`` and ``values`` of ``classes_``); ``classes``
                      (names and colours); ``widths`` of the layers; the features'
                      ``spec`` and ``spec_hash``, or null; the training ``log``, or
                      null; ``sha256`` of members.safetensors; ``versions`` of the
                      libraries; ``extra``, what the caller adds
===================== ====================================================================
"""

import hashlib
import json
import pickle
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from ...store.atomic_folder import atomic_folder, is_free
from ...store.errors import InputError
from ...store.pickled_tensors import read_pickled, refuse_unbacked
from ...store.sealed_folder import SealedFolder
from ...store.seals import sealed
from ...store.spec import FeatureSpec, hash_of
from ..labels.classes import Classes, default_classes
from .members import MemberStack
from .parameters import check_parameters
from .training import TrainingLog

__all__ = [
    "MODEL_FOLDER",
    "PARAMETERS",
    "SavedModel",
    "check_target",
    "model_files",
    "read_model",
    "read_published",
    "stack_published",
    "write_model",
]

MODEL_FOLDER = SealedFolder(
    kind="model",
    name="dseg-model",
    version=1,
    json="model.json",
    tensors="members.safetensors",
    maker="dseg fit",
    again="fit again",
)
MEMBER_FILES = "model_*.pth"  # as published
PARAMETERS = (
    "n_members",
    "hidden_layer_sizes",
    "voting",
    "recipe",
    "max_steps",
    "batch_size",
    "learning_rate",
    "balance",
    "random_state",
)
LIBRARIES = ("dseg", "numpy", "safetensors", "scikit-learn", "torch")


@dataclass(frozen=True)
class SavedModel:
    """What a model on disk holds.

    Parameters
    ----------
    parameters : mapping
        Of the `PixelEnsemble`, those of `PARAMETERS`; others than its defaults may be left out.
    stack : MemberStack
    labels : array
        Its ``classes_``.
    classes : Classes
    spec : FeatureSpec, optional
    log : TrainingLog, optional
    extra : mapping
        Plain JSON values that the caller keeps with it.
    """

    parameters: Mapping[str, Any]
    stack: MemberStack
    labels: NDArray[Any]
    classes: Classes
    spec: FeatureSpec | None = None
    log: TrainingLog | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def write_model(model: SavedModel, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write a model, whole or not at all.

    Parameters
    ----------
    model : SavedModel
    folder : path
        Made, with its parents.
    overwrite : bool
        Replace an existing model; anything else is never replaced.

    Raises
    ------
    InputError
        If the folder exists and may not be replaced, or ``extra`` is no JSON.
    """
    target = Path(folder)
    check_target(target, overwrite)
    stack = {key: value.detach().cpu() for key, value in model.stack.state_dict().items()}
    tensors = tensor_bytes({key: value.contiguous() for key, value in stack.items()})
    facts = {**_to_json(model), "sha256": hashlib.sha256(tensors).hexdigest()}
    try:
        text = json.dumps(sealed(facts), indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the model's extra facts cannot be written as JSON: {error}") from error
    with atomic_folder(target) as new_folder:
        (new_folder / MODEL_FOLDER.tensors).write_bytes(tensors)
        (new_folder / MODEL_FOLDER.json).write_text(text + "\n", encoding="utf-8")


def check_target(target: Path, overwrite: bool) -> None:
    """Refuse to save over something else, or over a model that may not be replaced."""
    if is_free(target):
        return
    if not MODEL_FOLDER.is_at(target):
        raise InputError(
            f"'{target}' exists and is not a model, so it is not replaced: choose another folder"
        )
    if not overwrite:
        raise InputError(
            f"'{target}' contains a model already: choose another folder, or replace it "
            "(--overwrite)"
        )


def _to_json(model: SavedModel) -> dict[str, Any]:
    labels, spec, log = model.labels, model.spec, model.log
    if labels.dtype.kind not in "biufUO":
        raise InputError(
            f"class labels of dtype {labels.dtype} cannot be saved: use numbers or strings"
        )
    parameters = {name: _json_value(value) for name, value in model.parameters.items()}
    hidden = model.stack.widths[1:-1]
    return {
        "format": MODEL_FOLDER.name,
        "version": MODEL_FOLDER.version,
        "parameters": {**parameters, "hidden_layer_sizes": list(hidden)},
        "labels": {"dtype": labels.dtype.str, "values": labels.tolist()},
        "classes": model.classes.to_list(),
        "widths": list(model.stack.widths),
        "spec": None if spec is None else spec.to_dict(),
        "spec_hash": None if spec is None else spec.hash,
        "log": None if log is None else log.to_dict(),
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "extra": dict(model.extra),
    }


def _json_value(value: Any) -> Any:
    """Return a parameter as JSON can hold it; a generator of random numbers it cannot."""
    if isinstance(value, np.generic):
        return value.item()
    return None if isinstance(value, np.random.RandomState) else value


def read_model(folder: str | Path) -> SavedModel:
    """Read what `write_model` wrote; its tensors are on the CPU.

    Raises
    ------
    InputError
        If the folder is no model, is of a newer format, or damaged.
    """
    root = Path(folder)
    facts = MODEL_FOLDER.facts(root)
    with MODEL_FOLDER.reading(root, facts) as tensors:
        state, widths = parse_tensors(tensors), [int(n) for n in facts["widths"]]
        if len(widths) > len(state):
            raise InputError(f"{len(widths)} widths of layers for {len(state)} tensors")
        sizes = facts["parameters"]["n_members"], widths[0], widths[1:-1], widths[-1]
        with torch.device("meta"):  # whether they agree, before there is memory for what is stated
            MemberStack(*sizes).load_state_dict(state, assign=True)
        stack = MemberStack(*sizes)
        stack.load_state_dict(state)
        return _from_json(facts, stack)


def model_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a model, ours or a published one, and no others of its folder."""
    return (
        MODEL_FOLDER.files(folder)
        if MODEL_FOLDER.is_at(folder)
        else tuple(sorted(folder.glob(MEMBER_FILES)))
    )


def _from_json(facts: Mapping[str, Any], stack: MemberStack) -> SavedModel:
    hidden = tuple(facts["parameters"]["hidden_layer_sizes"])
    parameters = {**facts["parameters"], "hidden_layer_sizes": hidden}
    unknown = parameters.keys() - set(PARAMETERS)
    if unknown:
        raise InputError(f"unknown parameters {', '.join(sorted(unknown))}")
    check_parameters(parameters)
    labels = np.array(facts["labels"]["values"], dtype=np.dtype(facts["labels"]["dtype"]))
    classes = Classes.from_list(facts["classes"])
    if not len(labels) == len(classes) == stack.widths[-1]:
        raise InputError(
            f"{len(labels)} labels, {len(classes)} classes and {stack.widths[-1]} outputs"
        )
    spec = None if facts["spec"] is None else FeatureSpec.from_dict(facts["spec"])
    if spec is not None and hash_of(facts["spec"]) != facts["spec_hash"]:
        raise InputError("the feature spec does not match its hash")
    if spec is not None and spec.dims != stack.widths[0]:
        raise InputError(f"{stack.widths[0]} inputs for features of {spec.dims} channels")
    log = None if facts["log"] is None else TrainingLog.from_dict(facts["log"])
    return SavedModel(parameters, stack, labels, classes, spec, log, dict(facts["extra"]))


def read_published(folder: str | Path) -> SavedModel:
    """Read an ensemble as yandex-research/ddpm-segmentation wrote it.

    Parameters
    ----------
    folder : path
        With ``model_<i>.pth``, one a member, as many as there are.

    Returns
    -------
    SavedModel
        Its classes are 0 to C - 1; names and feature spec are not in these files.

    Raises
    ------
    InputError
        If there is none, one is damaged or holds more than tensors, or their shapes differ.
    """
    root = Path(folder)
    candidates = [(p.stem.removeprefix("model_"), p) for p in root.glob(MEMBER_FILES)]
    paths = [p for n, p in sorted((int(n), p) for n, p in candidates if n.isdigit())]
    if not paths:
        raise InputError(
            f"'{root}' does not contain a published ensemble: expected model_0.pth, model_1.pth, …"
        )
    states = [_read_published(path) for path in paths]
    for path, state in zip(paths, states, strict=True):
        if _shapes(state) != _shapes(states[0]):
            raise InputError(
                f"'{path}' has other layers than '{paths[0]}': the members of one ensemble "
                "must be alike"
            )
    stack = stack_published(states)
    n_classes, hidden = stack.widths[-1], tuple(stack.widths[1:-1])
    parameters = {"n_members": len(states), "hidden_layer_sizes": hidden, "recipe": "paper"}
    return SavedModel(parameters, stack, np.arange(n_classes), default_classes(n_classes))


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in state.items()}


def _read_published(path: Path) -> dict[str, Tensor]:
    """Read one member's tensors, their keys without DataParallel's prefix."""
    try:
        # such a file can hold any code, which would run on loading
        state = read_pickled(path)["model_state_dict"]
        tensors = {key.removeprefix("module."): value for key, value in state.items()}
        found = {key: tensors[key] for key in _published_keys()}
        refuse_unbacked(found.values(), path.stat().st_size)
        return found
    except pickle.UnpicklingError as error:
        raise InputError(
            f"'{path}' contains more than tensors, or is damaged; it was not read, because "
            "that could run code from the file"
        ) from error
    except Exception as error:  # whatever torch makes of damaged bytes
        raise InputError(f"'{path}' is not a member of a published ensemble: {error!r}") from error


def _published_keys() -> list[str]:
    linear = [f"layers.{i}.{kind}" for i in (0, 3, 6) for kind in ("weight", "bias")]
    batchnorm_kinds = ("weight", "bias", "running_mean", "running_var")
    return linear + [f"layers.{i}.{kind}" for i in (2, 5) for kind in batchnorm_kinds]


def stack_published(states: Sequence[Mapping[str, Tensor]]) -> MemberStack:
    """Stack members of the published form: ``layers.0`` to ``layers.6`` of one Sequential.

    Parameters
    ----------
    states : sequence of mapping
        One a member, with the keys of ``nn.Sequential(Linear, ReLU, BatchNorm1d, Linear, ReLU,
        BatchNorm1d, Linear)`` after ``layers.``.

    Returns
    -------
    MemberStack
    """

    def stacked(key: str) -> Tensor:
        return torch.stack([state[key] for state in states])

    linear = [stacked(f"layers.{i}.weight").transpose(1, 2) for i in (0, 3, 6)]  # (M, in, out)
    widths = [linear[0].shape[1], *(weight.shape[2] for weight in linear)]
    stack = MemberStack(len(states), widths[0], widths[1:-1], widths[-1])
    tensors = {f"weights.{k}": weight for k, weight in enumerate(linear)}
    tensors |= {f"biases.{k}": stacked(f"layers.{i}.bias") for k, i in enumerate((0, 3, 6))}
    names = {"weight": "gammas.", "bias": "betas.", "running_mean": "mean"}
    for kind, name in {**names, "running_var": "variance"}.items():
        tensors |= {f"{name}{k}": stacked(f"layers.{i}.{kind}") for k, i in enumerate((2, 5))}
    stack.load_state_dict(tensors)
    return stack
