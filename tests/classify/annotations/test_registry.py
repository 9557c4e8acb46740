"""Which files are annotations, and what a folder of them says."""

import json
import zipfile

import numpy as np
import pytest
from dseg.classify.annotations.format import MaskToWrite
from dseg.classify.annotations.image_names import plain_name
from dseg.classify.annotations.registry import (
    format_named,
    open_annotations,
    writable,
    write_annotations,
)
from dseg.store.errors import DsegError, InputError
from PIL import Image

SHAPES = [{"label": "x", "points": [[0, 0], [4, 0], [4, 4]], "shape_type": "polygon"}]


def labelme(image, label="x"):
    return {"imagePath": image, "shapes": [{**SHAPES[0], "label": label}]}


COCO = {"images": [], "annotations": [], "categories": []}


@pytest.mark.parametrize(
    "value",
    [
        *("", "hello", "3", "null", {}, [], [{}], ["sky", "tree"], {"a": 1}, "<svg/>", "<html>"),
        *("[extract]\nsize = 32\n", '{"stem": "a"}\n{"stem": "b"}\n', "[a](b.md)", "{", "<"),
        "<!DOCTYPE html><html></html>",
    ],
)
def test_other_files_are_none(put, value):
    assert open_annotations(put(value)) is None


def test_a_folder_of_images_is_none(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "7.png")
    (tmp_path / "classes.json").write_text('["a", "b"]')
    (tmp_path / ".hidden.json").write_text("{")
    assert open_annotations(tmp_path) is None


def test_the_content_counts_and_not_the_name(put):
    assert open_annotations(put(COCO, "x.txt")).kind == "COCO"
    utf16 = put("", "utf16")
    utf16.write_bytes('{"imagePath": "7.jpg", "shapes": []}'.encode("utf-16"))
    assert open_annotations(utf16).kind == "labelme"


def test_a_folder_says_what_its_files_say(put, tmp_path):
    put(labelme("7.jpg", "b"), "in/7.json")
    put(labelme("8.jpg", "a"), "in/sub/8.json")
    put({"of": "another program"}, "in/settings.json")
    put(COCO, "in/.trash/old.json")
    found = open_annotations(tmp_path / "in")
    assert [image.name for image in found.images] == ["7.jpg", "sub/8.jpg"]
    assert found.classes == (("a", None), ("b", None))


def test_the_zip_file_that_a_tool_exports_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "job.zip", "w") as archive:
        archive.writestr("sub/annotations/7.json", json.dumps(labelme("7.jpg", "b")))
        archive.writestr("sub/images/7.jpg", b"no annotation")
        archive.writestr("sub/8.json", json.dumps(labelme("8.jpg", "a")))
        archive.writestr("sub/other.json", "{}")
    found = open_annotations(tmp_path / "job.zip")
    assert [image.name for image in found.images] == ["8.jpg", "annotations/7.jpg"]
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("other.json", "{}")
    assert open_annotations(tmp_path / "other.zip") is None
    (tmp_path / "cut.zip").write_bytes((tmp_path / "job.zip").read_bytes()[:200])
    with pytest.raises(InputError, match=r"cut\.zip' is no zip file, or is damaged"):
        open_annotations(tmp_path / "cut.zip")
    whole = (tmp_path / "job.zip").read_bytes()
    (tmp_path / "bad.zip").write_bytes(whole.replace(b'"label": "b"', b'"label": "c"'))
    with pytest.raises(InputError, match=r"bad\.zip/annotations/7\.json' cannot be read: the zip"):
        open_annotations(tmp_path / "bad.zip")


def test_a_file_that_unpacks_to_more_than_is_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("dseg.classify.annotations.format.MOST_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "job.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("7.json", "[{" + " " * 2**21)
    with pytest.raises(InputError, match="more than 1 MiB, the most that dseg reads"):
        open_annotations(tmp_path / "job.zip")


def test_a_folder_of_several_formats_is_refused(put, tmp_path):
    put(labelme("7.jpg"), "in/7.json")
    put(COCO, "in/all.json")
    with pytest.raises(InputError, match=r"several formats: '.*7\.json' is labelme, '.*' is COCO"):
        open_annotations(tmp_path / "in")


def test_a_file_that_may_be_of_two_formats_is_refused(put):
    with pytest.raises(InputError, match="may be COCO and labelme: dseg cannot tell which"):
        open_annotations(put(COCO | labelme("7.jpg")))


def test_json_is_bounded(put):
    with pytest.raises(InputError, match="nested deeper than 100"):
        open_annotations(put("[" * 5000 + "]" * 5000))
    with pytest.raises(InputError, match="it has more than 4000000 lists and objects"):
        open_annotations(put("[" + "{}," * 4_000_000 + "{}]"))


def test_files_that_are_too_large_are_refused(put, monkeypatch):
    monkeypatch.setattr("dseg.classify.annotations.format.MOST_BYTES", 2**20)
    monkeypatch.setattr("dseg.classify.annotations.xml_text.MOST_BYTES", 2**20)
    for first in ('{"', "<annotations>"):
        with pytest.raises(InputError, match="more than 1 MiB, the most that dseg reads"):
            open_annotations(put(first + " " * 2**20))


@pytest.mark.parametrize("name", ["", "/", "..", "C:\\", None, 3, ["a"], "a\0b"])
def test_names_that_name_no_file_are_refused(name):
    with pytest.raises(InputError, match=r"it names an image .*: expected the name of a file"):
        plain_name(name)


@pytest.mark.parametrize("kind", sorted(set(writable()) - {"geojson-map", "geotiff"}))
def test_a_write_that_fails_leaves_nothing_and_what_was_there(tmp_path, classes, kind):
    def masks():
        yield MaskToWrite("7.jpg", np.ones((3, 4), np.uint8))
        raise DsegError("the disk of the masks is gone")

    out = tmp_path / "out"
    write_annotations(kind, [MaskToWrite("1.jpg", np.ones((3, 4), np.uint8))], classes, out)
    before = sorted(out.rglob("*")) if out.is_dir() else out.read_bytes()
    with pytest.raises(DsegError, match="is gone"):
        write_annotations(kind, masks(), classes, out)
    assert (sorted(out.rglob("*")) if out.is_dir() else out.read_bytes()) == before
    assert list(tmp_path.iterdir()) == [out]


def test_formats_that_are_not_written_are_refused():
    with pytest.raises(InputError, match="'pascal-voc' is no format that dseg writes: give one of"):
        format_named("pascal-voc")
