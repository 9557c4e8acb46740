"""Formats with a file per image: masks come back, and files find their images."""

import numpy as np
import pytest
from dseg.classify.annotations.bridges import bridged
from dseg.classify.annotations.format import ClassToWrite, MaskToWrite
from dseg.classify.annotations.model import AnnotatedImage, Polygon, Shape
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.store.errors import InputError
from dseg.store.names import stem_of
from hypothesis import given, settings
from hypothesis import strategies as st

FORMATS = ("geojson", "imagej", "napari", "ome-zarr")


@pytest.mark.parametrize("kind", FORMATS)
def test_masks_come_back(kind, tmp_path, masks, classes):
    given = [MaskToWrite(image, mask) for image, mask in masks.items()]
    write_annotations(kind, given, classes, tmp_path / "out")
    annotations = open_annotations(tmp_path / "out")
    ids = {one.name: one.id for one in classes}
    assert {name for name, _ in annotations.classes} == set(ids)
    read = {stem_of(image.name): image for image in annotations.images}
    assert sorted(read) == sorted(map(stem_of, masks))
    for name, mask in masks.items():
        again = rasterise(read[stem_of(name)], ids, mask.shape, background=0, ignored=255)
        np.testing.assert_array_equal(again, mask, err_msg=name)
    assert not annotations.sparse


@pytest.mark.parametrize("kind", FORMATS)
def test_two_images_of_one_name_are_refused(kind, tmp_path, classes):
    masks = [MaskToWrite(name, np.ones((4, 4), np.uint8)) for name in ("7.jpg", "7.png")]
    with pytest.raises(InputError, match=r"for '7.png': another image has this name"):
        write_annotations(kind, masks, classes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_leads_elsewhere_is_refused(tmp_path, classes):
    masks = [MaskToWrite("../7.jpg", np.ones((4, 4), np.uint8))]
    with pytest.raises(InputError, match="leads out of its folder"):
        write_annotations("geojson", masks, classes, tmp_path / "out")


def test_a_class_whose_name_is_no_file_name_is_refused_by_napari(tmp_path):
    masks = [MaskToWrite("7.jpg", np.ones((4, 4), np.uint8))]
    with pytest.raises(InputError, match=r"class 'a/b' cannot name a file: it has a /"):
        write_annotations("napari", masks, [ClassToWrite(1, "a/b", (0, 0, 0))], tmp_path / "out")


boxes = st.tuples(*[st.integers(0, 12)] * 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=5))
def test_bridged_rings_enclose_what_the_rings_enclose_by_turns(boxes):
    rings = [
        np.float64([(a, b), (c + 13, b), (c + 13, d + 13), (a, d)]) / 2 for a, b, c, d in boxes
    ]

    def drawn(ring):
        image = AnnotatedImage("7", (Shape("a", (Polygon(ring),)),))
        return rasterise(image, {"a": 1}, (14, 14), background=0, ignored=255)

    apart = np.bitwise_xor.reduce([drawn(ring) for ring in rings])
    np.testing.assert_array_equal(drawn(bridged(rings)), apart)
