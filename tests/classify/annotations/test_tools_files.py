"""Files that the tools' own libraries made: see tests/data/annotations/README.md."""

from pathlib import Path

import numpy as np
import pytest
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations
from PIL import Image

FOLDER = Path(__file__).parents[2] / "data/annotations"
IDS = {"cell": 1, "field & <rest>": 2, "corner": 3}


@pytest.fixture
def mask():
    return np.asarray(Image.open(FOLDER / "mask.png"))


def drawn(image):
    return rasterise(image, IDS, (14, 18), background=0, ignored=255)


def test_cvat_of_datumaro(mask):
    found = open_annotations(FOLDER / "cvat.xml")
    assert [name for name, _ in found.classes] == list(IDS)
    (image,) = found.images
    assert (image.name, image.size) == ("sub/7.jpg", (14, 18))
    expected = np.zeros((14, 18), np.uint16)
    expected[1:12, 1:16] = 2
    expected[mask] = 1
    expected[:5, :6] = 3  # of the highest z_order
    np.testing.assert_array_equal(drawn(image), expected)


def test_coco_of_datumaro(mask):
    found = open_annotations(FOLDER / "coco.json")
    assert [name for name, _ in found.classes] == list(IDS)
    assert found.notes == (
        "boxes without a mask count as unlabelled (1)",
        "'cell' has crowds only: they count as that class",
        "shapes of 'cell' cover shapes of 'corner' (images: 1): what comes later in the file "
        "counts",
    )
    (image,) = found.images
    assert (image.name, image.size) == ("sub/7.jpg", (14, 18))
    expected = np.zeros((14, 18), np.uint16)
    expected[1:12, 1:16] = 255
    expected[:5, :6] = 3
    expected[mask] = 1
    np.testing.assert_array_equal(drawn(image), expected)


def test_label_studio_of_its_sdk(mask):
    found = open_annotations(FOLDER / "label-studio.json")
    assert found.classes == (("cell", None),)
    assert [image.name for image in found.images] == ["7.jpg", "photos/8.jpg"]
    for image in found.images:
        np.testing.assert_array_equal(drawn(image) == 1, mask)


def test_labelme_of_its_library(mask):
    found = open_annotations(FOLDER / "labelme")
    assert found.classes == (("cell", None),)
    (image,) = found.images
    assert (image.name, image.size) == ("photos/7.jpg", (14, 18))
    np.testing.assert_array_equal(drawn(image) == 1, mask)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(mask, version):
    found = open_annotations(FOLDER / f"ome-zarr-{version}")
    assert found.classes == (("cell", (9, 8, 7)),)
    (image,) = found.images
    assert (image.name, image.size) == ("7", (14, 18))
    np.testing.assert_array_equal(drawn(image), mask)


def test_shapes_and_points_of_napari():
    found = open_annotations(FOLDER / "napari")
    assert [name for name, _ in found.classes] == ["cell", "corner"]
    assert found.sparse
    points, shapes = found.images
    assert (shapes.name, points.name) == ("7", "8")
    expected = np.zeros((14, 18), np.uint16)
    expected[2:9, 3:12] = 1  # a rectangle, and a polygon within it
    expected[12, 10:] = 1  # a line
    expected[11:13, 3:6] = 1  # an ellipse around (11.5, 4), with the half-axes 1.5 and 2
    np.testing.assert_array_equal(drawn(shapes), expected)
    assert np.argwhere(drawn(points)).tolist() == [[3, 4], [12, 17]]
    assert drawn(points)[12, 17] == 3


def test_geojson_in_the_form_of_qupath(mask):
    found = open_annotations(FOLDER / "7.geojson")
    assert found.classes == (
        ("cell", (200, 0, 0)),
        ("corner", (0, 0, 255)),
        ("field & <rest>", (0, 128, 0)),
    )
    assert found.notes == ("1 shapes are left out: they have no class",)
    expected = np.zeros((14, 18), np.uint16)
    expected[1:12, 1:16] = 2
    expected[mask] = 1
    expected[:5, :6] = 3
    expected[:2, :2] = 255
    np.testing.assert_array_equal(drawn(found.images[0]), expected)
