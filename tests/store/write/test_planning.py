"""Planning makes room for images, once, and refuses what it must not mix."""

from dataclasses import replace

import numpy as np
import pytest
import zarr
from dseg.store.errors import InputError, SpecMismatchError, StoreError
from dseg.store.read.reader import FeatureStore
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store


def images(*names, size=(20, 30)):
    return [PlannedImage(name, size) for name in names]


@pytest.fixture
def tiled(spec):
    return replace(spec, fit="tile")


def write(path, number, rows, spec, sha256=bytes(32)):
    none = np.zeros(len(spec.layers), int)
    FeatureWriter(path).write_image(number, rows, sha256=sha256, nonfinite=none, clipped=none)


def test_a_store_is_created_then_extended_at_the_end(tmp_path, spec, make_maps):
    plan = plan_store(tmp_path / "s", spec, images("a.png", "b.png"))
    assert (dict(plan.indices), plan.vanished, plan.created) == ({"a.png": 0, "b.png": 1}, (), True)
    maps = make_maps(spec, 5)
    write(tmp_path / "s", 1, [maps], spec)
    plan = plan_store(tmp_path / "s", spec, images("0.png", "b.png"))
    assert (dict(plan.indices), plan.vanished, plan.created) == (
        {"0.png": 2, "b.png": 1},
        ("a.png",),
        False,
    )
    store = FeatureStore.open(tmp_path / "s")
    assert [image.name for image in store.images] == ["a.png", "b.png", "0.png"]
    assert [image.complete for image in store.images] == [False, True, False]
    np.testing.assert_array_equal(store.map(1, "4x4"), maps["4x4"])


def test_planning_again_changes_nothing(tmp_path, spec, write_all):
    write_all(tmp_path / "s", spec)
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "s").rglob("*") if f.is_file()}
    plan = plan_store(tmp_path / "s", spec, images("sub/0.png", "sub/1.png", "sub/2.png"))
    assert not plan.created
    assert before == {f: f.stat().st_mtime_ns for f in (tmp_path / "s").rglob("*") if f.is_file()}


def test_an_image_of_another_size_is_to_be_extracted_again(tmp_path, spec, write_all):
    write_all(tmp_path / "s", spec)
    changed = [*images("sub/0.png", "sub/2.png"), PlannedImage("sub/1.png", (50, 50))]
    plan_store(tmp_path / "s", spec, changed)
    store = FeatureStore.open(tmp_path / "s")
    assert [image.complete for image in store.images] == [True, False, True]
    assert store.image(1).geometry.size == (50, 50)
    assert store.rows(1) == range(1, 2)  # its number of rows is what it was
    with pytest.raises(StoreError, match=r"'sub/1.png' is not complete in .*: run extract again"):
        store.map(1, "4x4")


def test_an_image_with_more_rows_moves_to_the_end(tmp_path, tiled, make_maps):
    path = tmp_path / "s"
    plan_store(path, tiled, images("a.png", "b.png", size=(16, 16)))
    write(path, 0, [make_maps(tiled, 0)], tiled)
    write(path, 1, [make_maps(tiled, 1)], tiled)
    plan_store(path, tiled, [PlannedImage("a.png", (32, 16)), PlannedImage("b.png", (16, 16))])
    store = FeatureStore.open(path)
    assert (store.rows(0), store.rows(1), store.n_rows) == (range(2, 4), range(1, 2), 4)
    assert store.image("a").geometry.offsets == ((0, 0), (16, 0))
    np.testing.assert_array_equal(store.map(1, "8x8"), make_maps(tiled, 1)["8x8"])
    with pytest.raises(InputError, match=r"row 0 of .* no longer belongs to an image"):
        store.map(0, "4x4")
    owner = zarr.open_array(path, path="rows/image", mode="r")[:]
    np.testing.assert_array_equal(owner, [-1, 1, 0, 0])


def test_a_changed_file_is_not_current(tmp_path, spec, write_all, sha_of):
    write_all(tmp_path / "s", spec, n=1)
    writer = FeatureWriter(tmp_path / "s")
    assert writer.is_current(0, sha_of(0))
    assert not writer.is_current(0, sha_of(1))


def test_a_failed_image_says_why_until_it_is_written(tmp_path, spec, write_all, make_maps):
    write_all(tmp_path / "s", spec, n=1)
    writer = FeatureWriter(tmp_path / "s")
    writer.fail_image(0, "truncated after 12 lines", sha256=bytes(32))
    store = FeatureStore.open(tmp_path / "s")
    assert (store.image(0).failed, store.image(0).complete) == ("truncated after 12 lines", False)
    with pytest.raises(StoreError, match="could not be extracted: truncated after 12 lines"):
        store.map(0, "4x4")
    assert not writer.is_current(0, bytes(32))
    write(tmp_path / "s", 0, [make_maps(spec, 0)], spec)
    image = FeatureStore.open(tmp_path / "s").image(0)
    assert (image.failed, image.complete) == (None, True)


def test_another_spec_is_refused_by_its_differences(tmp_path, spec, write_all):
    write_all(tmp_path / "s", spec, n=1)
    other = replace(spec, noise_seed=7, backbone={"kind": "test", "sha256": "ff"})
    with pytest.raises(SpecMismatchError) as caught:
        plan_store(tmp_path / "s", other, images("sub/0.png"))
    words = str(caught.value)
    assert "noise_seed: 0 in the store, 7 in this command" in words
    assert 'checkpoint sha256: "00" in the store, "ff" in this command' in words
    assert "give another folder" in words
    assert FeatureStore.open(tmp_path / "s").image(0).complete


def test_a_moved_checkpoint_is_the_same_recipe(tmp_path, spec, write_all):
    write_all(tmp_path / "s", spec, n=1)
    plan = plan_store(tmp_path / "s", replace(spec, source="elsewhere"), images("sub/0.png"))
    assert not plan.created


@pytest.mark.parametrize("other", ["a.jpg", "a.png"])
def test_two_images_of_one_stem_are_refused(tmp_path, spec, other):
    with pytest.raises(
        InputError, match=f"the names of images 'a.png' and '{other}' differ only in"
    ):
        plan_store(tmp_path / "s", spec, images("a.png", other))
    assert not (tmp_path / "s").exists()


def test_another_extension_is_a_change_of_the_image(tmp_path, spec, make_maps):
    plan_store(tmp_path / "s", spec, images("a.png"))
    none = np.zeros(len(spec.layers), int)
    FeatureWriter(tmp_path / "s").write_image(
        0, [make_maps(spec, 0)], sha256=bytes(32), nonfinite=none, clipped=none
    )
    plan = plan_store(tmp_path / "s", spec, images("a.jpg"))
    assert (dict(plan.indices), plan.vanished) == ({"a.jpg": 0}, ())
    (image,) = FeatureStore.open(tmp_path / "s").images
    assert (image.name, image.complete) == ("a.jpg", False)


def test_a_folder_of_other_files_is_left_alone(tmp_path, spec):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"is not a feature store, but contains 'photo.jpg': give a"
    ):
        plan_store(tmp_path, spec, images("a.png"))
    assert [f.name for f in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_file_is_refused(tmp_path, spec):
    (tmp_path / "s").write_bytes(b"x")
    with pytest.raises(InputError, match="is a file: give a folder"):
        plan_store(tmp_path / "s", spec, images("a.png"))


def test_another_zarr_group_is_left_alone(tmp_path, spec):
    zarr.open_group(tmp_path / "s", mode="w", attributes={"mine": 1})
    with pytest.raises(StoreError, match="is a Zarr group, but not a feature store of dseg"):
        plan_store(tmp_path / "s", spec, images("a.png"))
    assert zarr.open_group(tmp_path / "s", mode="r").attrs.asdict() == {"mine": 1}


def test_an_unknown_codec_creates_nothing(tmp_path, spec):
    with pytest.raises(InputError, match="unknown compression 'rar'"):
        plan_store(tmp_path / "s", spec, images("a.png"), codec="rar")
    assert not (tmp_path / "s").exists()
