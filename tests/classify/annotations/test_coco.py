"""COCO's JSON, against pycocotools."""

import json
import tracemalloc

import numpy as np
import pytest
from dseg.classify.annotations.coco_rle import (
    bitmap_of_counts,
    counts_of_mask,
    counts_of_text,
    text_of_counts,
)
from dseg.classify.annotations.format import ClassToWrite, MaskToWrite
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.store.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

bitmaps = arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 12)))


@settings(max_examples=60, deadline=None)
@given(bitmaps)
def test_run_lengths_are_those_of_pycocotools(pixels):
    from pycocotools import mask as tools

    theirs = tools.encode(np.asfortranarray(pixels, np.uint8))
    counts = counts_of_mask(pixels)
    assert text_of_counts(counts) == theirs["counts"].decode()
    np.testing.assert_array_equal(counts_of_text(theirs["counts"].decode()), counts)
    found = bitmap_of_counts(counts, *pixels.shape)
    whole = np.zeros_like(pixels)
    h, w = found.pixels.shape
    whole[found.top : found.top + h, found.left : found.left + w] = found.pixels
    np.testing.assert_array_equal(whole, pixels)
    if pixels.any():
        assert found.pixels.any(axis=0)[[0, -1]].all()
        assert found.pixels.any(axis=1)[[0, -1]].all()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=9))
def test_compressed_run_lengths_of_any_size(counts):
    assert counts_of_text(text_of_counts(np.array(counts))).tolist() == counts


def test_masks_come_back(written_and_read, classes):
    _, annotations = written_and_read("coco", "masks.json")
    assert annotations.classes == tuple((one.name, one.colour) for one in classes)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
def test_pycocotools_reads_the_same_masks(written_and_read, masks):
    from pycocotools.coco import COCO

    path, _ = written_and_read("coco", "masks.json", prefix="photos/")
    coco = COCO(str(path))
    for k, image in coco.imgs.items():
        name = image["file_name"].removeprefix("photos/")
        found = np.zeros_like(masks[name])
        for annotation in coco.imgToAnns[k]:
            pixels = coco.annToMask(annotation).astype(bool)
            assert annotation["area"] == pixels.sum()
            y, x = np.nonzero(pixels)
            frame = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            assert annotation["bbox"] == frame
            found[pixels] = annotation["category_id"]
        np.testing.assert_array_equal(found, masks[name])


def coco(*annotations, **more):
    return {
        "images": [{"id": 3, "file_name": "a\\7.jpg", "height": 4, "width": 6}],
        "categories": [{"id": 9, "name": "dog"}, {"id": 2, "name": "cat", "color": [1, 2, 3]}],
        "annotations": [{"id": k, "image_id": 3, **one} for k, one in enumerate(annotations)],
        **more,
    }


LEFT, RIGHT = [[0, 0, 4, 0, 4, 4, 0, 4]], [[2, 0, 6, 0, 6, 4, 2, 4]]


def test_reads_polygons_run_lengths_and_crowds_in_the_order_of_the_file(put):
    found = open_annotations(
        put(
            coco(
                {"category_id": 9, "segmentation": LEFT},
                {"category_id": 2, "segmentation": RIGHT},
                {
                    "category_id": 2,
                    "iscrowd": 1,
                    "segmentation": {"size": [4, 6], "counts": [20, 4]},
                },
            )
        )
    )
    assert found.classes == (("cat", (1, 2, 3)), ("dog", None))
    (image,) = found.images
    assert (image.name, image.size) == ("a/7.jpg", (4, 6))
    drawn = rasterise(image, {"cat": 0, "dog": 1}, (4, 6), background=7, ignored=255)
    assert drawn.tolist() == [[1, 1, 0, 0, 0, 255]] * 4
    assert found.notes == (
        "crowds count as unlabelled (1)",
        "shapes of 'cat' cover shapes of 'dog' (images: 1): what comes later in the file counts",
    )


def test_neighbours_and_parts_of_one_class_are_no_overlap(put):
    large = [[0, 0, 300, 0, 300, 200, 0, 200]]
    beside = [[299, 0, 600, 0, 600, 400, 299, 400]]  # of one column in common
    value = coco(
        {"category_id": 9, "segmentation": large},
        {"category_id": 9, "segmentation": large},
        {"category_id": 2, "segmentation": beside},
    )
    value["images"][0] |= {"height": 400, "width": 600}
    assert open_annotations(put(value)).notes == ()
    runs = {"size": [400, 600], "counts": [40_000, 80_000, 120_000]}
    value["annotations"][2]["segmentation"] = runs
    assert open_annotations(put(value)).notes[0].startswith("shapes of 'cat' cover shapes of 'dog'")


def test_boxes_without_a_mask_are_unlabelled_and_images_without_shapes_left_out(put):
    value = coco(
        {"category_id": 9, "segmentation": LEFT},
        {"category_id": 2, "segmentation": [], "bbox": [4, 1, 2, 2]},
    )
    value["images"].append({"id": 4, "file_name": "8.jpg"})
    found = open_annotations(put(value))
    drawn = rasterise(found.images[0], {"dog": 1}, (4, 6), background=0, ignored=255)
    assert drawn[1].tolist() == [1, 1, 1, 1, 255, 255]
    assert len(found.images) == 1
    assert found.notes == (
        "images without an annotation are left out (1)",
        "boxes without a mask count as unlabelled (1)",
    )


BOX = {"category_id": 9, "bbox": [0, 0, 2, 2]}
RUNS = {"category_id": 9, "segmentation": {"size": [4, 6], "counts": [5, 5]}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (coco(BOX), "have boxes only"),
        (coco(BOX | {"bbox": [1, 2]}), "its bbox has 2 numbers: expected x, y, width, height"),
        (coco(RUNS), r"annotation 0: its run lengths are not those of an image of 6×4"),
        (coco({"category_id": 7, "segmentation": LEFT}), "its category 7 is none of the categ"),
        (coco({"category_id": 9, "segmentation": [[1, 2, 3]]}), "expected numbers x, y, x, y"),
        (coco({"category_id": 9, "segmentation": [[1, 2, "3", 4]]}), "expected numbers x, y"),
        (coco({"category_id": 9, "segmentation": [[0, 0, 1e30, 0, 3, 3]]}), "coordinate 1e.30"),
        (coco({"category_id": 9, "segmentation": [[0, 10**400, 1, 1, 2, 2]]}), "expected numbers"),
        (coco({"category_id": 9, "segmentation": [[0, float("nan"), 1, 1]]}), "coordinate nan"),
        (coco({"category_id": "x", "segmentation": LEFT}), "category_id .* is no whole number"),
        (coco({"category_id": 9, "segmentation": {"size": [4, 6], "counts": "zz"}}), "damaged"),
        (
            coco({"category_id": 9, "segmentation": {"size": [99999, 99999], "counts": [1]}}),
            "178956970 pixels are the most",
        ),
        (
            coco({"category_id": 9, "segmentation": {"size": [2, 2], "counts": [0, 4]}}),
            "of an image of 2×2, but the image is 6×4",
        ),
        (coco({"category_id": 9, "segments_info": []}), "panoptic form"),
        (
            coco({"category_id": 9, "segmentation": LEFT, "image_id": 8}),
            "it is of an image 8 that is not there",
        ),
        (coco(categories=[{"id": 1}]), "category 1 has no name"),
        (coco(images=3), '"images" is not a list of objects'),
        ([{"image_id": 1, "category_id": 1, "score": 0.5}], "a file of results"),
        ('{"images": [], "annotations": [', "is not valid JSON"),
    ],
)
def test_refuses_what_it_cannot_use(put, value, words):
    with pytest.raises(InputError, match=rf"given' .*{words}"):
        open_annotations(put(value))


def test_masks_lie_packed_in_memory(put):
    """Twenty masks of four megapixels: 80 MB as they are drawn, less than two as they are kept."""
    runs = {"size": [2000, 2000], "counts": [7, 3_999_000, 993]}
    value = coco(*[{"category_id": 9, "segmentation": runs}] * 20)
    value["images"][0] |= {"height": 2000, "width": 2000}
    tracemalloc.start()
    found = open_annotations(put(value))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2_000_000
    (area,) = found.images[0].shapes[-1].areas
    assert area.pixels.shape == (2000, 2000)
    assert area.pixels.sum() == 3_999_000


def test_more_pixels_of_masks_than_can_be_read_in_time_are_refused(put, monkeypatch):
    monkeypatch.setattr("dseg.classify.annotations.limits.MOST_MASK_PIXELS", 40)
    whole = {"category_id": 9, "segmentation": {"size": [4, 6], "counts": [0, 24]}}
    open_annotations(put(coco(whole)))
    with pytest.raises(InputError, match="masks have together more than 40 pixels"):
        open_annotations(put(coco(whole, whole)))


def test_writing_takes_one_mask_at_a_time(tmp_path):
    alive, path = [], tmp_path / "out.json"

    class Counted(np.ndarray):
        def __array_finalize__(self, _):
            pass

    def masks():
        for k in range(5):
            mask = np.ones((8, 8), np.uint8).view(Counted)
            alive.append(__import__("weakref").ref(mask))
            yield MaskToWrite(f"{k}.jpg", mask)
            del mask
            assert sum(one() is not None for one in alive) <= 1

    write_annotations("coco", masks(), [ClassToWrite(1, "x", (0, 0, 0))], path)
    assert len(json.loads(path.read_text())["annotations"]) == 5
