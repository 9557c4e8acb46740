"""Whatever a file holds, it ends in annotations that can be drawn or in one plain message."""

import copy
import json
import random
import re
import shutil
from pathlib import Path

import pytest
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations
from dseg.store.errors import InputError
from roifile import ImagejRoi

FOLDER = Path(__file__).parents[2] / "data/annotations"
ODD = (
    *(
        None,
        True,
        -1,
        0,
        3,
        2**31,
        10**30,
        1e308,
        float("nan"),
        float("inf"),
        0.5,
        "",
        "x",
        "../..",
    ),
    *([], {}, [[]], [None], [[1]], {"a": 1}, [1, 2, 3], [[1, 2], [3]], ["1", "2"], "0" * 40, [300]),
)
ODD_TEXTS = ("", "x", "-1", "1e999", "nan", "999999999", "3,4", "3,4;5", ";", "1" * 5000, "../..")


def places(value):
    """Every list and object in a value, with each of its keys."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value[:40]))
    else:
        return
    for key, inner in pairs:
        yield value, key
        yield from places(inner)


def try_it(path):
    """Return whether a file is refused."""
    words = None
    try:
        found = open_annotations(path)
        for image in found.images if found else ():
            size = image.size or (14, 18)
            assert size[0] * size[1] <= 178956970
            if size[0] * size[1] < 10**6:
                ids = {name: k for k, (name, _) in enumerate(found.classes)}
                rasterise(image, ids, size, background=0, ignored=255)
    except InputError as error:
        words = str(error)
    assert words is None or 20 < len(words) < 700, words
    return words is not None


@pytest.mark.parametrize(
    "name", ["coco.json", "label-studio.json", "labelme/a/7.json", "7.geojson"]
)
def test_json_with_odd_values(tmp_path, name):
    rng, whole = random.Random(0), json.loads((FOLDER / name).read_text())
    refused = 0
    for _ in range(200):
        value = copy.deepcopy(whole)
        for _number in range(rng.choice([1, 1, 1, 3])):
            holder, key = rng.choice(list(places(value)))
            if rng.random() < 0.2:
                del holder[key]
            else:
                holder[key] = rng.choice(ODD)
        path = tmp_path / "given.json"
        path.write_text(json.dumps(value))
        refused += try_it(path)
    assert refused > 60


def test_xml_with_odd_values(tmp_path):
    rng, whole = random.Random(0), (FOLDER / "cvat.xml").read_text()
    texts = [match.span(1) for match in re.finditer(r'"([^"]*)"|>([^<\s]+)<', whole) if match[1]]
    refused = 0
    for _ in range(300):
        start, stop = rng.choice(texts)
        path = tmp_path / "given.xml"
        path.write_text(whole[:start] + rng.choice(ODD_TEXTS) + whole[stop:])
        refused += try_it(path)
    assert refused > 60


@pytest.mark.parametrize("name", ["coco.json", "cvat.xml", "label-studio.json"])
def test_files_that_are_cut_off(tmp_path, name):
    whole = (FOLDER / name).read_bytes().rstrip()
    for length in range(80, len(whole) - 1, 97):
        path = tmp_path / "given"
        path.write_bytes(whole[:length])
        assert try_it(path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zarr_metadata_with_odd_values(tmp_path, version):
    rng, refused = random.Random(0), 0
    folder = shutil.copytree(FOLDER / f"ome-zarr-{version}/7.ome.zarr", tmp_path / "7.zarr")
    group = folder / "labels/cells"
    names = {"0.4": ("s0/.zarray", ".zattrs"), "0.5": ("s0/zarr.json", "zarr.json")}[version]
    wholes = {group / name: (group / name).read_text() for name in names}
    for _ in range(150):
        file = rng.choice(list(wholes))
        value = json.loads(wholes[file])
        holder, key = rng.choice(list(places(value)))
        holder[key] = rng.choice(ODD)
        file.write_text(json.dumps(value))
        refused += try_it(folder)
        file.write_text(wholes[file])
    assert refused > 30


def test_bytes_of_rois_and_chunks_that_are_changed(tmp_path):
    folder = shutil.copytree(FOLDER / "ome-zarr-0.5/7.ome.zarr", tmp_path / "7.zarr")
    roi = ImagejRoi.frompoints([[1.5, 2], [9, 2], [9, 9]], name="cell-1")
    (tmp_path / "7.roi").write_bytes(roi.tobytes())
    rng = random.Random(0)
    for file, given in (
        (tmp_path / "7.roi", tmp_path / "7.roi"),
        (folder / "labels/cells/s0/c/0/0/0", folder),
    ):
        whole, refused = file.read_bytes(), 0
        for _ in range(120):
            data = bytearray(whole)
            for _number in range(rng.choice([1, 1, 4])):
                data[rng.randrange(len(data))] = rng.choice([0, 1, 127, 128, 255])
            file.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
            refused += try_it(given)
        assert refused > 30
