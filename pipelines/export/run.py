"""``dseg export``: write a student as ONNX, and compare it with PyTorch."""

import json
import warnings
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...distil.student.files import Student, read_student
from ...store.errors import DsegError, InputError
from ...store.whole_file import write_whole
from ..console.optional_packages import require
from ..console.progress import Progress
from .config import ExportConfig, ExportSummary

__all__ = ["TOLERANCE", "export", "metadata_of"]

OPSET = 18
TOLERANCE = 1e-4
"""Of the largest score: what the exported network may differ by."""

_TRACED = (2, 3, 96, 128)
_COMPARED = ((1, 3, 97, 131), (2, 3, 160, 64))


def export(config: ExportConfig, progress: Progress | None = None) -> ExportSummary:
    """Write a student as ONNX.

    Raises
    ------
    InputError
        If there is no student, or a file that may not be replaced.
    DsegError
        If what was exported computes something else, or cannot be written.
    """
    progress = progress or Progress()
    require("onnx")
    if config.onnx.exists() and not config.overwrite:
        raise InputError(
            f"'{config.onnx}' exists already: give another --onnx, or replace it (--overwrite)"
        )
    student = read_student(config.student)
    progress.say(f"exporting '{config.student}': {student.kind}, {len(student.classes)} classes")
    data = _with_metadata(_onnx(student.network), metadata_of(student))
    difference = _difference(data, student.network) if find_spec("onnxruntime") else None
    if difference is not None and not difference <= TOLERANCE:  # NaN is not
        raise DsegError(
            f"the exported network differs from PyTorch's by {difference:.1e} of the largest "
            f"score, more than {TOLERANCE:.0e}: nothing was written. Please report it with the "
            "versions of torch, onnx and onnxruntime"
        )
    write_whole(config.onnx, data)
    return ExportSummary(
        str(config.onnx), student.kind, len(student.classes), len(data), difference
    )


def metadata_of(student: Student) -> dict[str, str]:
    """Return the metadata of the file: texts, as ONNX has them; ``classes`` and ``view`` in JSON.

    ``classes`` is the list of names in the order of the scores. ``view`` is how the student sees
    images: `View.to_dict`.
    """
    return {
        "producer": "dseg",
        "network": student.kind,
        "classes": json.dumps(list(student.classes.names), ensure_ascii=False),
        "colours": json.dumps([list(colour) for colour in student.classes.colours]),
        "view": json.dumps(student.view.to_dict()),
    }


def _onnx(network: nn.Module) -> bytes:
    """Return the network as ONNX, its batch, height and width free."""
    file = BytesIO()
    free = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        # The exporter by tracing: the newer one takes minutes to reason about sizes that are
        # padded to a multiple. Of its warnings, those on constants are as they should be.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(_TRACED),),
            file,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": free, "scores": free},
        )
    return file.getvalue()


def _with_metadata(data: bytes, metadata: dict[str, str]) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _difference(data: bytes, network: nn.Module) -> float:
    """Return the largest difference of a score from PyTorch's, relative to the largest score."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rng, worst = np.random.default_rng(0), 0.0
    for shape in _COMPARED:
        image = rng.random(shape, np.float32)
        with torch.no_grad():
            expected: NDArray[Any] = network(torch.from_numpy(image)).numpy()
        (found,) = session.run(None, {"image": image})
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    return worst
