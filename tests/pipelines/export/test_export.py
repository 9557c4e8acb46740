"""``dseg export``: the ONNX file computes what PyTorch does, and says what it is."""

import json
from pathlib import Path

import dseg
import numpy as np
import pytest
import torch
from dseg.classify.labels.classes import default_classes
from dseg.distil.networks.registry import student_kind
from dseg.distil.student.files import Student, read_student, write_student
from dseg.distil.student.view import View
from dseg.pipelines.export import run as export_run
from PIL import Image

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def make_student(folder, kind="fpn", n_classes=3):
    torch.manual_seed(0)
    network = student_kind(kind).begin(n_classes).network
    for module in network.modules():  # as after a training: statistics other than 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    write_student(Student(network.eval(), kind, default_classes(n_classes), View(96)), folder)
    return folder


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return make_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def exported(student):
    path = student / "student.onnx"
    summary = export_run.export(export_run.ExportConfig(student, path))
    assert summary.difference < 1e-4
    return path


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (3, 3, 40, 97), (1, 3, 131, 200)])
def test_scores_are_those_of_pytorch_at_any_size(student, exported, shape):
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).random(shape, np.float32)
    (found,) = session.run(["scores"], {"image": image})
    with torch.no_grad():
        expected = read_student(student).network(torch.from_numpy(image)).numpy()
    assert found.shape == (shape[0], 3, *shape[2:])
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_the_file_names_its_classes_and_its_view(exported):
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == list(default_classes(3).names)
    assert json.loads(metadata["view"]) == {"side": 96, "fit": "whole"}
    assert metadata["network"] == "fpn"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deeplab", "mobilenet", "segformer"])
def test_every_student_can_be_exported(tmp_path, kind):
    folder = make_student(tmp_path / "student", kind)
    found = export_run.export(export_run.ExportConfig(folder, tmp_path / "s.onnx"))
    assert found.difference < 1e-4


def test_the_example_of_the_documentation_runs(exported, tmp_path, monkeypatch):
    """Its masks are those of dseg, which sees the image at the same size."""
    text = (Path(dseg.__file__).parent / "docs/export.md").read_text(encoding="utf-8")
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    assert "dseg" not in code
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 96, 3), np.uint8)).save(
        tmp_path / "photo.jpg"
    )
    (tmp_path / "student.onnx").write_bytes(exported.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {})
    mask = np.asarray(Image.open("mask.png"))
    assert mask.shape == (48, 96)
    assert mask.max() < 3


def test_files_that_are_there_and_folders_that_are_no_students_are_refused(
    dseg, student, exported, tmp_path
):
    refused = dseg("export", student, "--onnx", exported)
    assert refused.code == 2
    assert "exists already" in refused.err
    (tmp_path / "empty").mkdir()
    refused = dseg("export", "empty", "--onnx", "x.onnx")
    assert refused.code == 2
    assert "is not a student" in refused.err
    made = dseg("export", student, "--onnx", exported, "--overwrite", "-q")
    assert made.code == 0
    assert "differs from PyTorch by" in made.out


def test_a_file_that_computes_something_else_is_not_written(student, tmp_path, monkeypatch):
    monkeypatch.setattr(export_run, "TOLERANCE", -1.0)
    with pytest.raises(export_run.DsegError, match="nothing was written"):
        export_run.export(export_run.ExportConfig(student, tmp_path / "x.onnx"))
    assert not (tmp_path / "x.onnx").exists()
