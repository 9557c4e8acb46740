"""A pile of GeoTIFFs, from images to masks that lie where the images lie."""

import shutil

import numpy as np
import pytest
import rasterio
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations
from dseg.store.names import stem_of
from PIL import Image
from rasterio.transform import Affine


@pytest.fixture
def maps(world, tmp_path):
    """The photographs as GeoTIFFs of two zones, and where each lies."""
    places = {}
    (tmp_path / "maps").mkdir()
    for k, stem in enumerate(world.stems):
        pixels = np.asarray(Image.open(world.photos / f"{stem}.png")).transpose(2, 0, 1)
        matrix = Affine(0.25, 0, 500_000 + 100 * k, 0, -0.25, 5_300_000)
        places[stem] = f"EPSG:{32632 + k % 2}", matrix
        count, height, width = pixels.shape
        facts = {"count": count, "height": height, "width": width, "dtype": "uint8"}
        with rasterio.open(
            tmp_path / f"maps/{stem}.tif",
            "w",
            driver="GTiff",
            crs=places[stem][0],
            transform=matrix,
            compress="deflate",
            **facts,
        ) as file:
            file.write(pixels)
    shutil.copytree(world.labels, tmp_path / "labels")
    return places


def test_masks_of_geotiffs_lie_where_the_images_lie(dseg, maps, tmp_path):
    for words in (
        "extract --images maps --out f.zarr --checkpoint builtin:filters --size 32",
        "fit f.zarr labels --members 2 --max-steps 30",
        "predict f.zarr",
        "convert masks --to geotiff --out geo --images maps --leave-out sea",
        "convert masks --to geojson-map --out shapes --images maps --leave-out sea",
    ):
        done = dseg(*words.split())
        assert done.code == 0, done.err
    for stem, (crs, matrix) in maps.items():
        mask = np.asarray(Image.open(tmp_path / f"masks/{stem}.png"))
        with rasterio.open(tmp_path / f"geo/{stem}.tif") as file:
            assert (file.crs, file.transform, file.nodata) == (crs, matrix, 0)
            assert file.tags(1) == {"CLASS_1": "sun", "CLASS_2": "boat"}
            np.testing.assert_array_equal(file.read(1), mask)
        shutil.copy(tmp_path / f"maps/{stem}.tif", tmp_path / "shapes")
    for image in open_annotations(tmp_path / "shapes").images:
        mask = np.asarray(Image.open(tmp_path / f"masks/{stem_of(image.name)}.png"))
        ids = {"sun": 1, "boat": 2}
        found = rasterise(image, ids, mask.shape, background=0, ignored=255)
        np.testing.assert_array_equal(found, mask)


def test_images_that_lie_nowhere_are_refused(dseg, world, tmp_path):
    shutil.copytree(world.labels, tmp_path / "labels")
    words = ("convert", "labels", "--out", "out", "--images", world.photos, "--to")
    for kind in ("geotiff", "geojson-map"):
        refused = dseg(*words, kind)
        assert refused.code == 2
        assert "'p0.png': it is no GeoTIFF" in refused.err
        assert not (tmp_path / "out").exists()
