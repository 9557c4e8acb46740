"""Labels in OME-Zarr, made by zarr after the specification."""

import gzip
import json

import numpy as np
import pytest
import zarr
from dseg.classify.annotations.files.format import ClassToWrite, MaskToWrite
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.classify.annotations.shapes.rasterise import rasterise
from dseg.store.errors import InputError
from numcodecs import GZip, Pickle, Zlib, zstd

VALUES = np.arange(48).reshape(6, 8) % 4
NAMED = {
    "colors": [{"label-value": 2, "rgba": [1, 2, 3, 255]}],
    "properties": [{"label-value": 2, "class": "sky"}, {"label-value": 1, "area": 7}],
}


def image_with_labels(path, values=VALUES, version="0.5", named=NAMED, names=("nuclei",), **array):
    """Write an image's folder whose labels have this array at full resolution."""
    zarr_format = 3 if version == "0.5" else 2

    def attributes(**found):
        return {"ome": {"version": version, **found}} if zarr_format == 3 else found

    def group(place, **found):
        zarr.create_group(place, zarr_format=zarr_format, attributes=attributes(**found))

    group(path, multiscales=[])
    group(path / "labels", labels=list(names))
    values = np.asarray(values)
    axes = [{"name": name, "type": "space"} for name in "tczyx"[-values.ndim :]]
    scale = [{"type": "scale", "scale": [1.0] * values.ndim}]
    sets = [{"path": name, "coordinateTransformations": scale} for name in ("0", "1")]
    for name in names:
        described = {"multiscales": [{"axes": axes, "datasets": sets}], "image-label": named}
        group(path / "labels" / name, **described)
        made = zarr.create_array(
            path / "labels" / name / "0",
            shape=values.shape,
            dtype=values.dtype,
            zarr_format=zarr_format,
            **{"chunks": (*values.shape[:-2], 4, 5)} | array,
        )
        made[...] = values
    return path


def drawn(path, size=VALUES.shape):
    annotations = open_annotations(path)
    (image,) = annotations.images
    ids = {name: k for k, (name, _) in enumerate(annotations.classes, 1)}
    return rasterise(image, ids, size, background=0, ignored=255), annotations


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_the_full_resolution_is_read(tmp_path, version, dtype):
    values = VALUES.astype(dtype)[None, None, None]
    path = image_with_labels(tmp_path / "a" / "7.ome.zarr", values, version)
    for given, name in ((path, "7"), (tmp_path, "a/7"), (path / "labels/nuclei", "7")):
        mask, annotations = drawn(given)
        assert annotations.images[0].name == name
        assert annotations.images[0].size == VALUES.shape
        np.testing.assert_array_equal(mask, VALUES)
        assert annotations.classes == (("class 1", None), ("sky", (1, 2, 3)), ("class 3", None))


@pytest.mark.parametrize(
    "array",
    [
        {"version": "0.4", "compressors": Zlib()},
        {"version": "0.4", "compressors": GZip()},
        {"version": "0.4", "compressors": None},
        {"compressors": zarr.codecs.GzipCodec()},
        {"compressors": zarr.codecs.BloscCodec()},
        {"compressors": None},
        {"compressors": [zarr.codecs.GzipCodec(), zarr.codecs.Crc32cCodec()]},
        {"compressors": [zarr.codecs.ZstdCodec(checksum=True), zarr.codecs.Crc32cCodec()]},
        {"shards": (8, 10)},
        {"shards": (8, 10), "compressors": zarr.codecs.BloscCodec()},
    ],
)
def test_codecs_that_writers_use(tmp_path, array):
    mask, _ = drawn(image_with_labels(tmp_path / "7.zarr", **array))
    np.testing.assert_array_equal(mask, VALUES)


def test_objects_of_a_class(tmp_path):
    values = np.arange(600).reshape(20, 30)
    with pytest.raises(InputError, match="599 values without a name: are they numbers of objects"):
        open_annotations(image_with_labels(tmp_path / "7.zarr", values, named={}))
    properties = [{"label-value": k, "class": "ab"[k % 2]} for k in range(1, 600)]
    path = image_with_labels(tmp_path / "8.zarr", values, named={"properties": properties})
    mask, annotations = drawn(path, values.shape)
    assert [name for name, _ in annotations.classes] == ["b", "a"]
    np.testing.assert_array_equal(mask, np.where(values, 2 - values % 2, 0))


def test_a_named_0_is_a_class(tmp_path):
    named = {"properties": [{"label-value": 0, "name": "ground"}]}
    mask, annotations = drawn(image_with_labels(tmp_path / "7.zarr", named=named))
    assert annotations.classes[0][0] == "ground"
    np.testing.assert_array_equal(mask, VALUES + 1)


def test_several_groups_of_labels(tmp_path):
    path = image_with_labels(tmp_path / "7.zarr", names=("nuclei", "cells"))
    with pytest.raises(InputError, match=r"give one of them, such as '.*7.zarr/labels/nuclei'"):
        open_annotations(path)
    assert open_annotations(path / "labels/cells").images[0].name == "7"


def changed(path, change):
    """Change a JSON file."""
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [10**9, 10**9]}, r"1000000000×1000000000 pixels: .* are the most"),
        ({"shape": [7, 6, 8]}, r"shape \(7, 6, 8\): expected one plane"),
        ({"data_type": "float64"}, "are float64: expected whole numbers"),
        ({"data_type": "object"}, "are object: expected whole numbers"),
        ({"shape": "x"}, "its shape is 'x': expected a whole number"),
        ({"codecs": [{"name": "pickle"}]}, "packed by 'pickle': dseg reads blosc"),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [9**9, 9]}}},
            "chunks of",
        ),
        ({"chunk_grid": 7}, "the metadata of its array '0' are damaged"),
    ],
)
def test_hostile_metadata_are_refused(tmp_path, change, words):
    path = image_with_labels(tmp_path / "7.zarr")
    changed(path / "labels/nuclei/0/zarr.json", lambda found: found.update(change))
    with pytest.raises(InputError, match=r"7.zarr' \(OME-Zarr\): .*" + words):
        open_annotations(path)


def test_a_codec_that_runs_code_is_refused(tmp_path):
    path = image_with_labels(tmp_path / "7.zarr", version="0.4")
    change = {"filters": [Pickle().get_config()]}
    changed(path / "labels/nuclei/0/.zarray", lambda found: found.update(change))
    with pytest.raises(InputError, match=r"have filters \(pickle\), which dseg refuses"):
        open_annotations(path)


@pytest.mark.parametrize("packing", ["zstd", "blosc", "gzip", "shard"])
def test_bombs_are_refused(tmp_path, packing):
    codecs = {"blosc": zarr.codecs.BloscCodec(), "gzip": zarr.codecs.GzipCodec()}
    array = {"compressors": codecs.get(packing, zarr.codecs.ZstdCodec())}
    array |= {"shards": (8, 10)} if packing == "shard" else {}
    path = image_with_labels(tmp_path / "7.zarr", **array)
    big = zarr.create_array(
        tmp_path / "big",
        shape=(2**20,),
        chunks=(2**20,),
        dtype=np.int64,
        compressors=array["compressors"],
    )
    big[:] = 7
    chunk, bomb = path / "labels/nuclei/0/c/0/0", (tmp_path / "big/c/0").read_bytes()
    if packing == "shard":
        index = np.full((4, 2), 2**64 - 1, "<u8")
        index[0] = 0, len(bomb)
        bomb += index.tobytes() + b"crc."
    chunk.write_bytes(bomb)
    with pytest.raises(InputError, match=r"chunk '0' (has|unpacks to) \d+ bytes"):
        open_annotations(path)


def test_a_second_member_of_gzip_counts(tmp_path):
    path = image_with_labels(tmp_path / "7.zarr", compressors=zarr.codecs.GzipCodec())
    bomb = gzip.compress(b"") + gzip.compress(bytes(2**20))
    (path / "labels/nuclei/0/c/0/0").write_bytes(bomb)
    with pytest.raises(InputError, match=r"chunk '0' unpacks to \d+ bytes"):
        open_annotations(path)


@pytest.mark.parametrize("first", [zstd.compress(bytes(8)), b"\x50\x2a\x4d\x18\x20" + bytes(35)])
def test_a_second_frame_of_zstandard_is_refused(tmp_path, first):
    """The decoder unpacks all frames; also those after one of a kind that is skipped."""
    path = image_with_labels(tmp_path / "7.zarr")
    bomb = first + zstd.compress(bytes(2**20))
    assert len(zstd.decompress(bomb)) >= 2**20
    (path / "labels/nuclei/0/c/0/0").write_bytes(bomb)
    with pytest.raises(InputError, match=r"chunks is damaged, or is not one frame of a stated"):
        open_annotations(path)


def test_paths_that_lead_elsewhere_are_refused(tmp_path):
    path = image_with_labels(tmp_path / "7.zarr")
    labels = path / "labels/zarr.json"
    whole = labels.read_text()
    changed(labels, lambda found: found["attributes"]["ome"].update(labels=["../../8.zarr"]))
    with pytest.raises(InputError, match=r"has the name '../../8.zarr': it has a part '..'"):
        open_annotations(path)
    labels.write_text(whole)

    def elsewhere(found):
        found["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "/etc"

    changed(path / "labels/nuclei/zarr.json", elsewhere)
    with pytest.raises(InputError, match="path '/etc', which leads elsewhere"):
        open_annotations(path)


def test_what_is_written_follows_the_specification(tmp_path, classes):
    mask = np.kron(np.arange(12).reshape(3, 4) % 3, np.ones((200, 200))).astype(np.uint8)
    mask[0] = 255  # of no class that is written
    write_annotations("ome-zarr", [MaskToWrite("7.png", mask)], classes, tmp_path / "out")
    folder = tmp_path / "out/7.ome.zarr/labels"
    assert zarr.open_group(folder).attrs["ome"] == {"version": "0.5", "labels": ["classes"]}
    group = zarr.open_group(folder / "classes")
    found = group.attrs["ome"]
    (multiscale,) = found["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == ["y", "x"]
    for k, dataset in enumerate(multiscale["datasets"]):
        array = group[dataset["path"]]
        assert array.metadata.dimension_names == ("y", "x")
        np.testing.assert_array_equal(array[:], np.where(mask == 255, 0, mask)[:: 2**k, :: 2**k])
        assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [2**k, 2**k]}]
    assert max(array.shape) <= 256
    label = found["image-label"]
    assert label["colors"][0] == {"label-value": 1, "rgba": [86, 180, 233, 255]}
    assert label["properties"][1]["name"] == classes[1].name


def test_a_class_0_moves_all_up(tmp_path):
    named = [ClassToWrite(0, "ground", (9, 9, 9)), ClassToWrite(255, "sky", (8, 8, 8))]
    mask = np.uint8([[0, 255, 3]])
    write_annotations("ome-zarr", [MaskToWrite("7.png", mask)], named, tmp_path / "out")
    array = zarr.open_array(tmp_path / "out/7.ome.zarr/labels/classes/0")
    assert array[:].tolist() == [[1, 256, 0]]
    mask, annotations = drawn(tmp_path / "out", (1, 3))
    assert mask.tolist() == [[1, 2, 0]]
    assert annotations.classes == (("ground", (9, 9, 9)), ("sky", (8, 8, 8)))
