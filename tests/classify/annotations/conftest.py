"""What tests of annotation files share."""

import json

import numpy as np
import pytest
from dseg.classify.annotations.format import ClassToWrite, MaskToWrite
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations, write_annotations

CLASSES = (
    ClassToWrite(1, "sky", (86, 180, 233)),
    ClassToWrite(2, 'Baum <größer> & "alt"', (0, 158, 115)),
)


@pytest.fixture
def classes():
    return CLASSES


@pytest.fixture
def masks():
    """Masks with holes, pixels that meet in a corner, single pixels, and nothing at all."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 3, (5, 7)).repeat(6, axis=0).repeat(5, axis=1)
    coarse[3, 4] = 2
    noise = rng.integers(0, 3, (13, 9))
    ring = np.zeros((20, 30))
    ring[2:18, 3:28], ring[6:12, 9:20], ring[8:10, 11:15] = 1, 2, 1
    found = {"a/1.jpg": coarse, "a/2.png": noise, "ü & #.jpg": ring, "4.jpg": np.ones((3, 4))}
    return {name: mask.astype(np.uint8) for name, mask in found.items()}


@pytest.fixture
def written_and_read(tmp_path, masks):
    """Write the masks in a format, read them, and compare; return where they are."""

    def run(kind, name="out", prefix=""):
        given = (MaskToWrite(image, mask) for image, mask in masks.items())
        write_annotations(kind, given, CLASSES, tmp_path / name, prefix=prefix)
        annotations = open_annotations(tmp_path / name)
        ids = {one.name: one.id for one in CLASSES}
        read = {image.name: image for image in annotations.images}
        assert sorted(read) == sorted(prefix + image for image in masks)
        for image, mask in masks.items():
            assert read[prefix + image].size in (None, mask.shape)
            again = rasterise(read[prefix + image], ids, mask.shape, background=0, ignored=255)
            np.testing.assert_array_equal(again, mask, err_msg=image)
        assert not annotations.sparse
        return tmp_path / name, annotations

    return run


@pytest.fixture
def put(tmp_path):
    """Write a value as JSON, or a text, and return the file."""

    def write(value, name="given"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
        return path

    return write
