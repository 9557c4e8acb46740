"""A student is read as it was written, or refused in words."""

import json

import pytest
import torch
from dseg.classify.labels.classes import named_classes
from dseg.distil.networks.registry import student_kind
from dseg.distil.student.files import (
    STUDENT_FOLDER,
    Student,
    read_student,
    write_student,
)
from dseg.distil.student.view import View
from dseg.extract.images.reading_spec import ReadingSpec
from dseg.store.errors import DsegError, InputError


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    network = student_kind("fpn").blank(3).eval()
    about = {"source": "model", "fingerprint": "ab"}
    facts = {"steps": 7, "seconds": 1.5}
    classes = named_classes(["sea", "sun", "boat"])
    extra = {"images": ["a"], "images_sha256": ["cd"]}
    return Student(network, "fpn", classes, View(96), ReadingSpec(white=4095), about, facts, extra)


def test_what_is_read_is_what_was_written(student, tmp_path):
    write_student(student, tmp_path / "s")
    read = read_student(tmp_path / "s")
    one, other = student.network.state_dict(), read.network.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not read.network.training
    for name in ("kind", "classes", "view", "reading", "teacher", "training", "extra"):
        assert getattr(read, name) == getattr(student, name)
    assert {path.name for path in (tmp_path / "s").iterdir()} == {
        STUDENT_FOLDER.json,
        STUDENT_FOLDER.tensors,
    }


def test_a_folder_that_cannot_be_written(student, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DsegError, match="the student cannot be written to"):
        write_student(student, tmp_path / "file")


def changed(**values):
    def change(folder):
        facts = json.loads((folder / STUDENT_FOLDER.json).read_text())
        (folder / STUDENT_FOLDER.json).write_text(json.dumps({**facts, **values}))

    return change


def cut(folder):
    data = (folder / STUDENT_FOLDER.tensors).read_bytes()
    (folder / STUDENT_FOLDER.tensors).write_bytes(data[:-1])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "is not the file that was saved together with"),
        (lambda folder: (folder / STUDENT_FOLDER.tensors).unlink(), "cannot be read"),
        (lambda folder: (folder / STUDENT_FOLDER.json).write_text("{"), "is not valid JSON"),
        (changed(format="x"), 'does not say "format": "dseg-student"'),
        (changed(version=2), "reads version 1: use the dseg that wrote it"),
        (changed(network="unet"), "no student network 'unet'"),
        (changed(classes=["sea"]), "is damaged"),
        (changed(view={"side": 0, "fit": "whole"}), "is damaged"),
        (lambda folder: (folder / STUDENT_FOLDER.json).unlink(), "is not a student"),
    ],
)
def test_what_cannot_be_used_is_refused(student, damage, words, tmp_path):
    write_student(student, tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=words):
        read_student(tmp_path)


def test_what_is_a_student(tmp_path):
    assert not STUDENT_FOLDER.is_at(tmp_path)
    (tmp_path / STUDENT_FOLDER.json).write_text("{}")
    assert STUDENT_FOLDER.is_at(tmp_path)
