"""Label Studio's JSON export, and predictions for it."""

import json

import numpy as np
import pytest
from dseg.classify.annotations.format import MaskToWrite
from dseg.classify.annotations.label_studio_rle import bitmap_of_brush, brush_of_mask
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.store.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

bitmaps = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 40)))


def slow_values(data):
    """The values of a brush, one bit after the other."""
    bits = [byte >> (7 - k) & 1 for byte in data for k in range(8)]

    def take(n):
        number = 0
        for _ in range(n):
            number = 2 * number + bits.pop(0)
        return number

    n, word = take(32), take(5) + 1
    sizes, values = [take(4) + 1 for _ in range(4)], []
    while len(values) < n:
        repeats = take(1)
        length = take(sizes[take(2)]) + 1
        values += [take(word)] * length if repeats else [take(word) for _ in range(length)]
    return values


@settings(max_examples=50, deadline=None)
@given(bitmaps)
def test_brushes_come_back_and_read_as_the_slow_plain_version(pixels):
    brush = brush_of_mask(pixels)
    assert slow_values(brush) == np.repeat(255 * pixels.ravel().astype(int), 4).tolist()
    found = bitmap_of_brush(brush, *pixels.shape)
    whole = np.zeros_like(pixels)
    h, w = found.pixels.shape
    whole[found.top : found.top + h, found.left : found.left + w] = found.pixels
    np.testing.assert_array_equal(whole, pixels)


def test_long_runs_are_split():
    pixels = np.zeros((300, 300), bool)
    pixels[5:290, :] = True
    found = bitmap_of_brush(brush_of_mask(pixels), 300, 300)
    assert (found.top, found.left, found.pixels.shape) == (5, 0, (285, 300))
    assert found.pixels.all()


def test_masks_come_back_where_a_person_accepts_them(tmp_path, masks, classes):
    given = (MaskToWrite(name, mask) for name, mask in masks.items())
    write_annotations(
        "label-studio", given, classes, tmp_path / "out", prefix="/data/local-files/?d="
    )
    path = tmp_path / "out/tasks.json"
    with pytest.raises(InputError, match="no task has an annotation that is submitted"):
        open_annotations(path)
    path.write_text(path.read_text().replace('"predictions"', '"annotations"'))
    annotations = open_annotations(tmp_path / "out")
    assert [image.name for image in annotations.images] == list(masks)
    ids = {one.name: one.id for one in classes}
    for image, mask in zip(annotations.images, masks.values(), strict=True):
        assert image.size == mask.shape
        again = rasterise(image, ids, mask.shape, background=0, ignored=255)
        np.testing.assert_array_equal(again, mask)
    config = (tmp_path / "out/label_config.xml").read_text()
    assert '<Label value="sky" background="#56b4e9"/>' in config


def region(kind, value, label=("x",), **more):
    return {
        "id": "r",
        "type": kind,
        "original_width": 20,
        "original_height": 10,
        "image_rotation": 0,
        "value": {**value, **({kind: list(label)} if label else {})},
        **more,
    }


SQUARE = {"x": 0, "y": 0, "width": 50, "height": 50}


def tasks(*regions, **more):
    annotation = {"id": 1, "was_cancelled": False, "result": list(regions)}
    return [{"id": 5, "data": {"image": "7.jpg"}, "annotations": [annotation], **more}]


def drawn(annotations):
    ids = {name: k for k, (name, _) in enumerate(annotations.classes, 1)}
    return rasterise(annotations.images[0], ids, (10, 20), background=0, ignored=255)


def test_every_region(put):
    found = open_annotations(
        put(
            tasks(
                region("rectanglelabels", SQUARE),
                region("rectanglelabels", {**SQUARE, "x": 50, "width": 10, "rotation": 90}, "y"),
                region("polygonlabels", {"points": [[75, 0], [100, 0], [100, 50], [75, 50]]}),
                region("ellipselabels", {"x": 87.5, "y": 75, "radiusX": 10, "radiusY": 20}, "y"),
                region("rectanglelabels", {"x": 0, "y": 90, "width": 50, "height": 10}, ()),
                region("vectorlabels", {}),
                {"type": "choices", "value": {"choices": ["good"]}},
            )
        )
    )
    expected = np.zeros((10, 20), int)
    expected[:5, :10] = 1
    expected[:2, 5:10] = 2  # turned about its first corner
    expected[:5, 15:] = 1
    expected[9, :10] = 255
    got = drawn(found)
    np.testing.assert_array_equal(got[:5], expected[:5])
    np.testing.assert_array_equal(got[9], expected[9])
    assert got[6:9, 16:19].tolist() == [[2, 2, 2]] * 3
    assert found.classes == (("x", None), ("y", None))
    assert found.notes == (
        "regions without a label count as unlabelled (1)",
        "regions of the type 'vectorlabels' are left out (1)",
    )
    assert not found.sparse


def test_labels_beside_shapes_keypoints_and_several_labels(put):
    found = open_annotations(
        put(
            tasks(
                region("rectangle", SQUARE, ()),
                {"id": "r", "type": "labels", "value": {**SQUARE, "labels": ["x"]}},
                region("keypointlabels", {"x": 77.5, "y": 75, "width": 15}, "yx"),
            )
        )
    )
    got = drawn(found)
    assert (got[:5, :10] == 1).all()
    assert (got[7:9, 14:17] == 2).sum() == 6
    assert found.sparse
    assert found.notes == ("of regions with several labels the first is taken (1)",)


def test_the_last_annotation_that_is_not_cancelled_is_taken(put):
    (task,) = tasks()
    for k, (cancelled, when) in enumerate([(False, "05"), (False, "07"), (True, "09")]):
        one = region("rectanglelabels", SQUARE, (f"label {k}",))
        task["annotations"].append(
            {"was_cancelled": cancelled, "updated_at": f"2024-01-{when}", "result": [one]}
        )
    found = open_annotations(put([task, {"id": 6, "data": {"image": "8.jpg"}, "annotations": []}]))
    assert found.classes == (("label 1", None),)
    assert found.notes == ("tasks without an annotation are left out (1)",)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"image": "/data/upload/3/0a1b2c3d-7.jpg"}, "7.jpg"),
        ({"text": "hello", "photo": "https://example.org/a/7.png?x=1"}, "a/7.png"),
        ({"image": "s3://bucket/photos/7.tif"}, "photos/7.tif"),
        ({"image": "/data/local-files/?d=C:%5Cphotos%5C7.jpg"}, "photos/7.jpg"),
    ],
)
def test_names_of_images_are_made_plain(put, data, name):
    found = open_annotations(put(tasks(region("rectanglelabels", SQUARE), data=data)))
    assert found.images[0].name == name


BRUSH = {"format": "rle", "rle": brush_of_mask(np.ones((10, 20), bool))}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([{"annotation_id": 1, "annotator": 1, "image": "7.jpg"}], 'export as "JSON", not as'),
        (tasks(region("brushlabels", BRUSH | {"format": "x"})), "its format is not 'rle'"),
        (tasks(region("brushlabels", BRUSH | {"rle": [300]})), "no list of whole numbers from 0"),
        (
            tasks(region("brushlabels", BRUSH | {"rle": BRUSH["rle"][:-3]})),
            "its brush is damaged: the run lengths end too early",
        ),
        (
            tasks(region("brushlabels", BRUSH, original_width=21)),
            "its brush has 800 values of 8 bits: expected 840 of 8 bits",
        ),
        (tasks(region("rectanglelabels", {"x": "0"})), "its x is '0': expected a number"),
        (tasks(region("rectanglelabels", SQUARE, image_rotation=90)), "is turned in Label Studio"),
        (tasks(region("rectanglelabels", SQUARE, original_width=None)), "no original_width"),
        (tasks() * 2, "it is of the image '7.jpg', as another task"),
        (tasks(annotations=3), '"annotations" are no list of objects'),
        (tasks(data={}), "it names an image 'None'"),
    ],
)
def test_refuses_what_it_cannot_use(put, value, words):
    with pytest.raises(InputError, match=rf"given' \(Label Studio\): task \d+: .*{words}"):
        open_annotations(put(json.loads(json.dumps(value))))
