"""Masks as TIFF and GeoTIFF, read by tifffile (as FIJI and napari see them) and rasterio (GDAL)."""

import re

import numpy as np
import pytest
import rasterio
import tifffile
from dseg.classify.annotations.format import ClassToWrite, MaskToWrite
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.store.errors import InputError
from PIL import Image
from rasterio.transform import Affine

MASK = np.uint16([[1, 2, 65535], [2, 1, 0]])
MATRIX = Affine(0.5, 0.1, 500_000, 0.2, -0.5, 5_300_000)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "photos/7.tif"
    path.parent.mkdir()
    facts = {"driver": "GTiff", "height": 2, "width": 3, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=MATRIX, **facts) as file:
        file.write(np.zeros((3, 2, 3), np.uint8))
    return path


def written(tmp_path, kind, classes, mask=MASK, image=None, name="a/7.tif"):
    write_annotations(kind, [MaskToWrite(name, mask, image)], classes, tmp_path / "out")
    return tmp_path / "out/a/7.tif"


def test_a_geotiff_lies_where_its_image_lies(tmp_path, image, classes):
    path = written(tmp_path, "geotiff", classes, image=image)
    with rasterio.open(path) as file:
        assert file.crs == "EPSG:32633"
        assert file.transform == MATRIX
        assert file.read(1).tolist() == [[1, 2, 0], [2, 1, 0]]
        assert file.nodata == 0
        assert file.colormap(1)[1] == (86, 180, 233, 255)
        assert file.tags(1) == {f"CLASS_{one.id}": one.name for one in classes}
        assert [name.rpartition("/")[2] for name in file.files] == ["7.tif", "7.tif.aux.xml"]


def test_a_tiff_has_a_colour_table_and_no_place(tmp_path, classes):
    path = written(tmp_path, "tiff", classes)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.photometric == tifffile.PHOTOMETRIC.PALETTE
        assert page.asarray().tolist() == [[1, 2, 0], [2, 1, 0]]
        assert (page.colormap[:, 1] >> 8).tolist() == [86, 180, 233]
        assert page.description.startswith("Classes: 1 sky, 2 Baum")
        assert 33922 not in page.tags
    assert open_annotations(tmp_path / "out") is None


@pytest.mark.parametrize(
    ("ids", "values", "missing"),
    [
        ((0, 2), [[255, 2, 255], [2, 255, 0]], 255),
        ((0, 300), [[65535] * 3, [65535] * 2 + [0]], 65535),
    ],
)
def test_pixels_of_no_class_are_missing(tmp_path, image, ids, values, missing):
    classes = [ClassToWrite(k, f"class {k}", (k % 256, 0, 0)) for k in ids]
    with rasterio.open(written(tmp_path, "geotiff", classes, image=image)) as file:
        assert file.read(1).tolist() == values
        assert file.nodata == missing


def test_ids_beyond_255_are_kept(tmp_path):
    classes = [ClassToWrite(300, "a", (1, 2, 3))]
    path = written(tmp_path, "tiff", classes, np.uint16([[300, 7]]))
    assert tifffile.imread(path).tolist() == [[300, 0]]


def test_a_geotiff_needs_an_image_with_a_place(tmp_path, classes):
    words = "the mask lies of 'a/7.tif': give the folder of the images (--images). Or write tiff"
    with pytest.raises(InputError, match=re.escape(words)):
        written(tmp_path, "geotiff", classes)
    Image.new("RGB", (3, 2)).save(tmp_path / "7.png")
    with pytest.raises(InputError, match=r"lies of 'a/7.tif': it is no GeoTIFF. Or write tiff"):
        written(tmp_path, "geotiff", classes, image=tmp_path / "7.png")


def test_a_mask_of_another_size_is_refused(tmp_path, image, classes):
    with pytest.raises(InputError, match="is 2×2 but the image 3×2: was the image resized"):
        written(tmp_path, "geotiff", classes, MASK[:, :2], image)
