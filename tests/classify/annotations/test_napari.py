"""napari's CSV files, written as `napari_builtins.io._write` of napari 0.9 does."""

import numpy as np
import pytest
from dseg.classify.annotations.files.format import MaskToWrite
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.classify.annotations.shapes.rasterise import rasterise
from dseg.store.errors import InputError

SHAPES = "index,shape-type,vertex-index,axis-0,axis-1\n"


def drawn(path, size=(9, 9)):
    annotations = open_annotations(path)
    (image,) = annotations.images
    ids = {name: k for k, (name, _) in enumerate(annotations.classes, 1)}
    return rasterise(image, ids, size, background=0, ignored=255), annotations


def shapes_of(*shapes):
    rows = [
        f"{float(index)},{kind},{float(k)},{float(y)},{float(x)}\n"
        for index, (kind, vertices) in enumerate(shapes)
        for k, (y, x) in enumerate(vertices)
    ]
    return SHAPES + "".join(rows)


def test_points_with_a_class_column(put):
    text = "index,axis-0,axis-1,confidence,class\n0,2.0,5.0,1,cell\n1,7.4,0.4,1,sky\n2,0,0,1,cell\n"
    mask, annotations = drawn(put(text, "labels/a.7.csv"))
    assert annotations.images[0].name == "a.7.*"
    assert [name for name, _ in annotations.classes] == ["cell", "sky"]
    assert annotations.sparse
    assert np.argwhere(mask == 1).tolist() == [[0, 0], [2, 5]]
    assert np.argwhere(mask == 2).tolist() == [[7, 0]]


def test_a_file_without_a_class_column_is_named_after_its_class(put, tmp_path):
    put("index,axis-0,axis-1\n0,2.0,5.0\n", "labels/7/cell.csv")
    put(shapes_of(("path", [(0, 0), (0, 4)])), "labels/7/sky.csv")
    mask, annotations = drawn(tmp_path / "labels")
    assert annotations.images[0].name == "7"
    assert (mask[2, 5], mask[0, 4], (mask > 0).sum()) == (1, 2, 6)
    for place in ("labels/7", "labels/7/sky.csv"):
        assert open_annotations(tmp_path / place).images[0].name == "7"


def test_the_kinds_of_shapes(put):
    square = [(2, 1), (2, 4), (6, 4), (6, 1)]
    around = [(1.5, 0.5), (1.5, 4.5), (6.5, 4.5), (6.5, 0.5)]
    for kind, vertices in (("polygon", square), ("rectangle", around)):
        mask, annotations = drawn(put(shapes_of((kind, vertices)), "7/cell.csv"))
        assert not annotations.sparse
        assert mask[2:6, 1:4].all()
    assert mask.sum() == 20  # rows 2 to 6, columns 1 to 4
    turned = [(4, 0.5), (0.5, 4), (4, 7.5), (7.5, 4)]  # around a circle around (4, 4)
    mask, _ = drawn(put(shapes_of(("ellipse", turned)), "7/cell.csv"))
    y, x = np.mgrid[:9, :9] - 4
    np.testing.assert_array_equal(mask, y**2 + x**2 < 3.5**2 / 2)
    mask, annotations = drawn(put(shapes_of(("line", [(0, 0), (8, 8)])), "7/cell.csv"))
    assert annotations.sparse
    assert mask.diagonal().all()


def test_further_axes_are_told(put):
    _, annotations = drawn(put("index,axis-0,axis-1,axis-2,label\n0,0,2,5,a\n", "7.csv"))
    assert annotations.notes == ("of its 3 axes the last two count",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SHAPES + "0,polygon,0,nan,1\n", "its axis-0 is nan: 1e"),
        (SHAPES + "0,polygon,0,1e30,1\n", r"its axis-0 is 1e\+30: 1e\+09 is the most"),
        (SHAPES + "0,polygon,0,x,1\n", "its axis-0 is 'x': expected a number"),
        (SHAPES + "0,polygon\n", "a row of 2 values: expected 5"),
        (SHAPES + "0,star,0,1,1\n", "the type 'star', which napari has not"),
        (SHAPES + "0,ellipse,0,1,1\n", "an ellipse has 1 vertices: expected 4"),
        (SHAPES, "it has no points or shapes"),
        ("index,axis-0,axis-1,class\n0,0,0,\n", "none of its points or shapes has a class"),
        (SHAPES + "0,polygon,0,1," + "1" * 200_000, "cannot be read: field larger"),
    ],
)
def test_bad_files_are_refused(put, text, words):
    with pytest.raises(InputError, match=r"7/cell.csv' \(napari CSV\): .*" + words):
        open_annotations(put(text, "7/cell.csv"))


def test_what_is_written_is_as_napari_writes_it(tmp_path, masks, classes):
    write_annotations("napari", [MaskToWrite("a/7.png", masks["4.jpg"])], classes, tmp_path / "out")
    (file,) = (tmp_path / "out").rglob("*.csv")
    assert file.relative_to(tmp_path / "out").as_posix() == "a/7/sky.csv"
    rows = [f"0,polygon,{k},{y},{x}" for k, (y, x) in enumerate([(0, 0), (0, 4), (3, 4), (3, 0)])]
    found = [row.split(",") for row in file.read_text().splitlines()]
    assert ",".join(found[0]) + "\n" == SHAPES
    moved = [[*row[:3], *(str(float(value) + 0.5) for value in row[3:])] for row in found[1:]]
    expected = [[*row.split(",")[:3], *(f"{v}.0" for v in row.split(",")[3:])] for row in rows]
    assert moved == expected
