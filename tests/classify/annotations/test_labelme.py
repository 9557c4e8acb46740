"""labelme's JSON files."""

import base64
import io

import numpy as np
import pytest
from dseg.classify.annotations.files.format import MaskToWrite
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.classify.annotations.shapes.model import Lines, Points
from dseg.classify.annotations.shapes.rasterise import rasterise
from dseg.store.errors import InputError
from PIL import Image


def test_masks_come_back(written_and_read):
    folder, annotations = written_and_read("labelme")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.json")) == [
        *("4.json", "a/1.json", "a/2.json", "ü & #.json")
    ]
    assert [name for name, _ in annotations.classes] == ['Baum <größer> & "alt"', "sky"]


def test_images_elsewhere_are_named_by_the_path_to_them(tmp_path, classes):
    masks = [MaskToWrite("a/b/7.jpg", np.ones((3, 4), np.uint8))]
    write_annotations("labelme", masks, classes, tmp_path / "out", prefix="../photos/")
    text = (tmp_path / "out/a/b/7.json").read_text()
    assert '"imagePath": "../../../photos/a/b/7.jpg"' in text
    assert open_annotations(tmp_path / "out").images[0].name == "photos/a/b/7.jpg"


def labelme(*shapes, **more):
    filled = [{"label": "x", "group_id": None, "flags": {}, **one} for one in shapes]
    value = {"version": "5.5.0", "flags": {}, "shapes": filled, "imagePath": "7.jpg"}
    return value | {"imageData": None, "imageHeight": 8, "imageWidth": 10} | more


def drawn(annotations):
    ids = {name: k for k, (name, _) in enumerate(annotations.classes, 1)}
    return rasterise(annotations.images[0], ids, (8, 10), background=0, ignored=255)


def test_every_shape(put):
    found = open_annotations(
        put(
            labelme(
                {"shape_type": "rectangle", "points": [[6, 5], [1, 1]]},  # drawn from any corner
                {"shape_type": "circle", "points": [[7.5, 4.5], [7.5, 3.4]], "label": "y"},
                {"points": [[0, 6], [4, 6], [4, 8], [0, 8]], "label": "__ignore__"},
                {"shape_type": "point", "points": [[9.2, 7.9]]},
                {"shape_type": "linestrip", "points": [[0.5, 0.5], [9.5, 0.5]]},
                {"shape_type": "cuboid", "points": [[0, 0]]},
            )
        )
    )
    expected = np.zeros((8, 10), int)
    expected[1:5, 1:6] = 1
    expected[4, 6:9] = expected[3:6, 7] = 2
    expected[6:8, :4] = 255
    expected[7, 9] = expected[0] = 1
    np.testing.assert_array_equal(drawn(found), expected)
    assert found.classes == (("x", None), ("y", None))
    assert found.sparse, "beside points and lines nothing is said"
    assert found.notes == ("shapes of the type 'cuboid' are left out",)
    kinds = [type(shape.areas[0]) for shape in found.images[0].shapes[3:]]
    assert kinds == [Points, Lines]


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"points": []}, "its polygon is .*: expected numbers"),
        ({"points": [[0, 0], [1, 1]], "label": 3}, "it has no label"),
        ({"points": [[0, 0]], "shape_type": "circle"}, "it is a circle of 1 points: expected 2"),
        ({"points": [[0, 0], [1, 1]], "shape_type": "mask"}, "its mask is no PNG in base64"),
        ({"points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": "aGk="}, "its mask is no PNG"),
        ({"points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": "?"}, "its mask is no PNG"),
    ],
)
def test_refuses_damaged_shapes(put, shape, words):
    with pytest.raises(InputError, match=rf"given' \(labelme\): shape 0: {words}"):
        open_annotations(put(labelme(shape)))


def test_a_mask_that_unpacks_to_gigabytes_is_refused(put):
    """A PNG of few bytes may say that it is huge: that is read before its pixels are."""
    whole = bytearray(base64.b64decode(png(np.zeros((2, 2), bool))))
    whole[16:24] = (60000).to_bytes(4, "big") * 2
    whole[29:33] = __import__("zlib").crc32(bytes(whole[12:29])).to_bytes(4, "big")
    shape = {"points": [[0, 0], [1, 1]], "shape_type": "mask"}
    with pytest.raises(InputError, match=r"its mask is no PNG in base64: Image size .* exceeds"):
        open_annotations(put(labelme(shape | {"mask": base64.b64encode(whole).decode()})))


def test_two_files_on_one_image_and_two_images_for_one_file_are_refused(put, tmp_path, classes):
    put(labelme({"points": [[0, 0], [1, 1], [2, 0]]}), "in/a.json")
    put(labelme({"points": [[0, 0], [1, 1], [2, 0]]}), "in/b.json")
    with pytest.raises(InputError, match=r"a\.json' and .*b\.json' annotate '7\.jpg': remove one"):
        open_annotations(tmp_path / "in")
    masks = [MaskToWrite(name, np.ones((3, 4), np.uint8)) for name in ("7.jpg", "7.png")]
    with pytest.raises(InputError, match=r"cannot be written for '7\.png': another image has this"):
        write_annotations("labelme", masks, classes, tmp_path / "out")
    with pytest.raises(InputError, match=r"which leads out of its folder"):
        write_annotations(
            "labelme", [MaskToWrite("../7.png", masks[0].mask)], classes, tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()
