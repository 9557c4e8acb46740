"""GeoJSON: QuPath's, plain ones, and those of maps beside a GeoTIFF that rasterio writes."""

import json
import re

import numpy as np
import pytest
import rasterio
from dseg.classify.annotations.format import MaskToWrite
from dseg.classify.annotations.georeference import Georeference
from dseg.classify.annotations.rasterise import rasterise
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.store.errors import InputError
from PIL import Image, TiffImagePlugin
from rasterio.transform import Affine
from rasterio.warp import transform

SQUARE = [[1, 2], [5, 2], [5, 6], [1, 6], [1, 2]]
HOLE = [[2, 3], [2, 4], [3, 4], [3, 3], [2, 3]]
UTM = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}


def feature(kind, coordinates, geometry=None, **properties):
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates, **(geometry or {})},
        "properties": properties,
    }


def of_qupath(kind, coordinates, name=None, **more):
    classification = {"classification": {"name": name, **more}} if name else {}
    return feature(kind, coordinates, objectType="annotation", **classification)


def collection(*features, **more):
    return {"type": "FeatureCollection", "features": list(features), **more}


def drawn(path, size=(9, 9), background=0):
    annotations = open_annotations(path)
    (image,) = annotations.images
    ids = {name: k for k, (name, _) in enumerate(annotations.classes, 1)}
    return rasterise(image, ids, size, background=background, ignored=255), annotations


def test_qupath_s_annotations(put):
    tumor = of_qupath("Polygon", [SQUARE, HOLE], "Tumor", color=[200, 0, 0])
    moved = [[[x + 4, y + 3] for x, y in SQUARE]]
    stroma = of_qupath("MultiPolygon", [moved, [HOLE]], "Stroma", colorRGB=-6895466)
    for value in (collection(tumor, stroma), [tumor, stroma]):
        mask, annotations = drawn(put(value, "7.geojson"))
        assert annotations.classes == (("Stroma", (150, 200, 150)), ("Tumor", (200, 0, 0)))
        assert annotations.images[0].name == "7"
        assert not annotations.sparse
        expected = np.zeros((9, 9))
        expected[2:6, 1:5], expected[5:9, 5:9], expected[3, 2] = 2, 1, 1
        np.testing.assert_array_equal(mask, expected)


def test_the_classes_that_qupath_treats_specially(put):
    features = [
        of_qupath("Polygon", [SQUARE], "Ignore*"),
        of_qupath("Polygon", [HOLE], "Region*"),
        of_qupath("Polygon", [HOLE]),
        feature("Polygon", [HOLE], classification={"names": ["Cell", "Positive"]}),
    ]
    mask, annotations = drawn(put(collection(*features), "7.geojson"))
    assert annotations.classes == (("Cell: Positive", None),)
    assert (mask == 255).sum() == 15
    assert mask[3, 2] == 1
    assert annotations.notes == (
        "1 shapes are left out: their class is 'Region*'",
        "1 shapes are left out: they have no class",
    )


def test_further_planes_are_left_out(put):
    plane = {"plane": {"c": -1, "z": 1, "t": 0}}
    value = collection(
        feature("Polygon", [SQUARE], plane, label="a"), feature("Polygon", [HOLE], label="a")
    )
    mask, annotations = drawn(put(value, "7.geojson"))
    assert mask.sum() == 1
    assert "further slices" in annotations.notes[0]


def test_lines_and_points_are_sparse(put):
    value = collection(
        feature("LineString", [[0.5, 0.5], [4.5, 0.5]], label="a"),
        feature("MultiPoint", [[8.5, 8.2, 100.0], [0, 8]], label="b"),
        feature("Point", [4.5, 4.5], label=3),
    )
    mask, annotations = drawn(put(value, "7.tif.geojson"), background=9)
    assert annotations.images[0].name == "7.tif"
    assert annotations.sparse
    assert [name for name, _ in annotations.classes] == ["3", "a", "b"]
    assert (mask[0, :5] == 2).all()
    assert mask[8, [8, 0]].tolist() == [3, 3]
    assert mask[4, 4] == 1
    assert (mask != 9).sum() == 8


def test_geometries_within_each_other(put):
    inner = {"type": "Polygon", "coordinates": [SQUARE]}
    geometry = {"geometries": [inner, {"type": "GeometryCollection", "geometries": [inner]}]}
    mask, _ = drawn(put(feature("GeometryCollection", None, geometry, label="a"), "7.json"))
    assert mask.sum() == 16


@pytest.fixture
def geotiff(tmp_path):
    def write(name="7.tif", matrix=None, crs="EPSG:32633", **tags):
        matrix = matrix or Affine(0.5, 0, 500_000, 0, -0.5, 5_300_000)
        facts = {"driver": "GTiff", "height": 9, "width": 9, "count": 3, "dtype": "uint8"}
        with rasterio.open(tmp_path / name, "w", crs=crs, transform=matrix, **facts) as file:
            file.write(np.zeros((3, 9, 9), np.uint8))
            file.update_tags(**tags)
        return lambda x, y: (
            matrix.a * x + matrix.b * y + matrix.c,
            matrix.d * x + matrix.e * y + matrix.f,
        )

    return write


@pytest.mark.parametrize(
    ("matrix", "tags"),
    [
        (None, {}),
        (None, {"AREA_OR_POINT": "Point"}),
        (Affine(0.5, 0.1, 500_000, 0.2, -0.4, 5_300_000), {}),
    ],
)
def test_coordinates_of_a_map_become_pixels_of_its_geotiff(put, geotiff, tmp_path, matrix, tags):
    to_map = geotiff(matrix=matrix, **tags)
    on_map = [to_map(x, y) for x, y in SQUARE]
    put(collection(feature("Polygon", [on_map], label="a"), crs=UTM), "7.geojson")
    mask, _ = drawn(tmp_path / "7.geojson")
    assert mask[2:6, 1:5].all()
    assert mask.sum() == 16
    place = Georeference.of_image(tmp_path / "7.tif")
    np.testing.assert_allclose(place.from_pixels(np.float64(SQUARE)), on_map, rtol=1e-12)
    np.testing.assert_allclose(place.to_pixels(place.from_pixels(np.float64(SQUARE))), SQUARE)


def test_longitude_and_latitude_are_converted(put, geotiff, tmp_path):
    to_map = geotiff()
    x, y = zip(*(to_map(x, y) for x, y in SQUARE), strict=True)
    degrees = np.transpose(transform("EPSG:32633", "EPSG:4326", x, y)).tolist()
    value = collection(feature("Polygon", [degrees], label="a"))
    mask, annotations = drawn(put(value, "7.geojson"))
    assert mask.sum() == 16
    assert "taken as longitude and latitude" in annotations.notes[0]
    value["crs"] = {"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    mask, annotations = drawn(put(value, "7.geojson"))
    assert (mask.sum(), annotations.notes) == (16, ())


def test_pixels_beside_a_geotiff(put, geotiff):
    geotiff()
    mask, _ = drawn(put(collection(of_qupath("Polygon", [SQUARE], "a")), "7.geojson"))
    assert mask.sum() == 16
    beyond = [[0, 0], [200, 0], [200, 2], [0, 2]]  # no latitude is as high as 200
    mask, _ = drawn(put(collection(feature("Polygon", [beyond], label="a")), "7.geojson"))
    assert mask.sum() == 18


def test_a_map_needs_an_image_that_says_where_it_lies(put, geotiff, tmp_path):
    path = put(collection(feature("Polygon", [SQUARE], label="a"), crs=UTM), "7.geojson")
    with pytest.raises(InputError, match=r"map \(EPSG:32633\): pixels need its image, a GeoTIFF"):
        open_annotations(path)
    geotiff(crs=None)
    with pytest.raises(InputError, match=r"EPSG:32633, but its image states no CRS"):
        open_annotations(path)
    Image.new("L", (9, 9)).save(tmp_path / "7.tif")
    with pytest.raises(InputError, match="is no GeoTIFF: nothing says where"):
        open_annotations(path)
    (tmp_path / "7.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"image '7.tif' cannot be read"):
        open_annotations(path)


def polygon(*corners):
    return collection(feature("Polygon", [list(corners)], label="a"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (polygon([0, 0], [1e30, 0], [1, 1]), "coordinate 1e+30: expected numbers up to 1e+09"),
        (polygon([0, 0], [1, 1]), "has 2 positions: 3 are the least"),
        (polygon([0, 0], ["1", 1], [2, 2]), "its geometry is"),
        (polygon([0, 0], [1], [2, 2]), "its geometry is"),
        (polygon([0, 0], [10**400, 1], [2, 2]), "its geometry is"),
        (collection(feature("Polygon", [], label="a")), "a geometry has no coordinates"),
        (
            collection(feature("Circle", [[1, 2]], label="a")),
            "type 'Circle', which GeoJSON has not",
        ),
        (collection({"geometry": 7, "properties": {"label": "a"}}), "a geometry is no object"),
        (collection(7), "its features are no list of objects"),
        (collection(of_qupath("Polygon", [SQUARE])), "no shape has a class: set one in QuPath"),
        (
            collection(crs={"properties": {"name": "+proj=pipeline"}}),
            "it names the CRS '+proj=pipeline': expected a number",
        ),
        (
            '{"type": "FeatureCollection", "features": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "nested deeper than 100",
        ),
    ],
)
def test_bad_files_are_refused(put, value, words):
    with pytest.raises(InputError, match=r"7.geojson.*" + re.escape(words)):
        open_annotations(put(value, "7.geojson"))


def test_coordinates_that_cannot_be_converted_are_refused(put, geotiff):
    geotiff()
    value = polygon([0, 0], [1, 0], [0, 1]) | {"crs": {"properties": {"name": "EPSG:999999"}}}
    with pytest.raises(InputError, match=r"EPSG:999999 that cannot be converted"):
        open_annotations(put(value, "7.geojson"))


def test_what_is_written_is_as_qupath_reads_it(tmp_path, masks, classes):
    write_annotations(
        "geojson", [MaskToWrite("7.png", masks["ü & #.jpg"])], classes, tmp_path / "out"
    )
    value = json.loads((tmp_path / "out/7.geojson").read_text("utf-8"))
    assert value["type"] == "FeatureCollection"
    first = value["features"][0]
    assert first["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "sky", "color": [86, 180, 233]},
    }
    exterior, hole = first["geometry"]["coordinates"]
    assert exterior == [[3, 2], [28, 2], [28, 18], [3, 18], [3, 2]]
    assert hole[0] == hole[-1]


@pytest.mark.parametrize("scale", [(0.5,), (0.0, 0.5, 0.0), (float("nan"), 0.5, 0.0)])
def test_damaged_tags_of_a_geotiff_are_refused(put, tmp_path, scale):
    ifd = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, values in ((33550, scale), (33922, (0.0, 0.0, 0.0, 5.0, 5.0, 0.0))):
        ifd[tag], ifd.tagtype[tag] = values, 12
    Image.new("L", (9, 9)).save(tmp_path / "7.tif", tiffinfo=ifd)
    path = put(collection(feature("Polygon", [SQUARE], label="a"), crs=UTM), "7.geojson")
    with pytest.raises(InputError, match=r"the GeoTIFF tags of '7.tif' are damaged"):
        open_annotations(path)
