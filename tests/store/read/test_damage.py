"""A damaged store is never read as if it were whole; the error says what is damaged."""

import json
import shutil

import dask
import numpy as np
import pytest
import zarr
from dseg.store.errors import ChunkCorruptError, InputError, StoreError
from dseg.store.read.reader import FeatureStore
from dseg.store.write.writer import FeatureWriter, plan_store


@pytest.fixture
def path(tmp_path, spec, write_all):
    write_all(tmp_path / "s.zarr", spec)
    return tmp_path / "s.zarr"


def flip(file, position=0.5, bit=3):
    content = bytearray(file.read_bytes())
    content[int(position * (len(content) - 1))] ^= 1 << bit
    file.write_bytes(content)


NAMED = (
    r"image 'sub/1.png', map size 8x8 \(block 6 at step 50, block 6 at step 150\): chunk "
    r"'features/8x8/c/1/0/0/0' of .*/s.zarr' {words}. Repeat the same extract "
    r"command with --verify: it extracts this image again"
)


@pytest.mark.parametrize("position", [0, 0.3, 0.7, 1])
def test_a_flipped_bit_names_image_layer_and_chunk(path, position):
    flip(path / "features/8x8/c/1/0/0/0", position)
    store = FeatureStore.open(path)
    with pytest.raises(ChunkCorruptError, match=NAMED.format(words="does not match its checksum")):
        store.map(1, "8x8")
    with pytest.raises(ChunkCorruptError, match="block 6 at step 150"):
        store.activations(1, 150, 6)
    assert store.map(0, "8x8").shape == (4, 8, 8)  # the others are whole
    assert store.map(1, "4x4").shape == (18, 4, 4)


@pytest.mark.parametrize("codec", ["none", "zstd", "uint8"])
def test_a_flipped_bit_is_seen_by_every_codec(tmp_path, spec, write_all, codec):
    write_all(tmp_path / "s.zarr", spec, codec=codec)
    flip(tmp_path / "s.zarr/features/8x8/c/1/0/0/0")
    with pytest.raises(ChunkCorruptError, match="does not match its checksum"):
        FeatureStore.open(tmp_path / "s.zarr").map(1, "8x8")


def test_a_flipped_bit_is_named_through_dask(path):
    flip(path / "features/8x8/c/1/0/0/0")
    store = FeatureStore.open(path)
    with dask.config.set(scheduler="threads"):
        for view in (store.array("8x8"), store.dense()):
            with pytest.raises(ChunkCorruptError, match=r"image 'sub/1.png', map size 8x8"):
                view.compute()


def test_a_missing_chunk_is_not_zeros(path):
    (path / "features/8x8/c/1/0/0/0").unlink()
    with pytest.raises(ChunkCorruptError, match=NAMED.format(words="is missing")):
        FeatureStore.open(path).pixels(np.array([1]), np.array([[3, 3]]))


def test_an_empty_chunk_is_damaged(path):
    (path / "features/8x8/c/1/0/0/0").write_bytes(b"")
    with pytest.raises(ChunkCorruptError, match="does not match its checksum"):
        FeatureStore.open(path).map(1, "8x8")


@pytest.mark.parametrize("how", [flip, lambda file: file.unlink()])
def test_damaged_scales_are_seen(tmp_path, spec, write_all, how):
    write_all(tmp_path / "s.zarr", spec, codec="uint8")
    how(tmp_path / "s.zarr/scales/8x8/c/1/0/0")
    with pytest.raises(ChunkCorruptError, match="chunk 'scales/8x8/c/1/0/0'"):
        FeatureStore.open(tmp_path / "s.zarr").map(1, "8x8")


def test_an_image_that_is_forgotten_is_written_again(path, spec, sha_of, make_maps):
    flip(path / "features/8x8/c/1/0/0/0")
    writer, none = FeatureWriter(path), np.zeros(len(spec.layers), int)
    writer.mark_incomplete(1)
    assert [writer.is_current(i, sha_of(i)) for i in range(3)] == [True, False, True]
    writer.write_image(1, [make_maps(spec, 1)], sha256=sha_of(1), nonfinite=none, clipped=none)
    np.testing.assert_array_equal(FeatureStore.open(path).map(1, "8x8"), make_maps(spec, 1)["8x8"])


def test_rows_never_written_read_as_nan_by_others(path, spec):
    (path / "features/8x8/c/1/0/0/0").unlink()
    assert np.isnan(zarr.open_array(path, path="features/8x8", mode="r")[1]).all()


def test_a_damaged_table_is_seen_on_opening(path):
    flip(path / "images/name/c/0")
    with pytest.raises(
        ChunkCorruptError, match=r"the table 'images/name' of .* does not match its"
    ):
        FeatureStore.open(path)


def older(attributes):
    """What a dseg wrote that knew of no checksum."""
    del attributes["checksum"]
    return attributes


def edit(path, key, change):
    file = path / key / "zarr.json" if key else path / "zarr.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("", lambda c: c["attributes"].update(format="x"), "not a feature store of dseg"),
        ("", lambda c: c["attributes"].update(version=2), "format version 2, but this dseg reads"),
        ("", lambda c: c["attributes"].pop("spec"), "was interrupted: repeat the same extr"),
        ("", lambda c: c["attributes"].pop("rows"), "attributes of .* are damaged: 'rows'"),
        ("", lambda c: c["attributes"].update(images=-1), "a number is invalid"),
        ("", lambda c: c["attributes"]["spec"].update(noise_seed=1), "does not match its hash"),
        ("", lambda c: c["attributes"]["spec"].pop("fit"), "damaged: not a feature spec of format"),
        ("", lambda c: c["attributes"].update(codec="x"), "unknown compression 'x'"),
        ("", lambda c: c["attributes"].update(images=2), "they do not match their checksum"),
        ("", lambda c: older(c["attributes"]).update(images=9), r"'images/name' is string \(3,\)"),
        ("features/4x4", lambda c: c.update(data_type="float32"), "'features/4x4' is float32"),
        (
            "features/4x4",
            lambda c: c["shape"].__setitem__(1, 9**9),
            "feature spec requires float16 ",
        ),
        ("images/size", lambda c: c.update(codecs=3), "'images/size/zarr.json'"),
    ],
)
def test_damaged_metadata_is_refused_in_words(path, key, change, words):
    edit(path, key, change)
    with pytest.raises(StoreError, match=words):
        FeatureStore.open(path)


@pytest.mark.parametrize("key", ["", "features/4x4/"])
def test_broken_json_is_refused(path, key):
    (path / f"{key}zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"zarr\.json"):
        FeatureStore.open(path)


def test_a_missing_array_is_refused(path):
    shutil.rmtree(path / "features/4x4")
    with pytest.raises(StoreError, match="its array 'features/4x4' is missing"):
        FeatureStore.open(path)


def test_a_group_in_an_array_s_place_is_refused(path):
    shutil.rmtree(path / "features/4x4")
    zarr.open_group(path / "features/4x4", mode="w")
    with pytest.raises(StoreError, match="'features/4x4' is a group, not an array"):
        FeatureStore.open(path)


def test_rows_beyond_the_end_are_refused(path):
    zarr.open_array(path, path="images/first_row", mode="r+")[2] = 7
    with pytest.raises(
        StoreError,
        match=r"table 'images/first_row' contradicts the other tables for image 'sub/2.png'",
    ):
        FeatureStore.open(path)


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no feature store at .*: give a folder that"):
        FeatureStore.open(tmp_path / "s.zarr")
    with pytest.raises(InputError, match="there is no feature store at"):
        FeatureWriter(tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_another_folder_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(StoreError, match="is not a feature store: it is not a Zarr v3 group"):
        FeatureStore.open(tmp_path)


def test_an_array_is_refused(tmp_path):
    zarr.create_array(tmp_path / "a", shape=(2,), dtype="int8")
    with pytest.raises(StoreError, match="is not a feature store: it is not a Zarr v3 group"):
        FeatureStore.open(tmp_path / "a")


def test_an_unfinished_plan_does_not_hide_the_store(path, spec):
    """Arrays longer than the header says are what a killed planner leaves."""
    zarr.open_array(path, path="images/row_count", mode="r+").resize((9,))
    store = FeatureStore.open(path)
    assert len(store.images) == 3
    plan_store(path, spec, [])
    assert store.map(2, "4x4").shape == (18, 4, 4)
