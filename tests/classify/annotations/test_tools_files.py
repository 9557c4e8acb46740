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
