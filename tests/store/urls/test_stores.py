"""A store by URL has the keys, bytes and refusals of a local one."""

from dataclasses import replace

import numpy as np
import pytest
from dseg.store.errors import ChunkCorruptError, InputError, SpecMismatchError
from dseg.store.read.integrity import find_missing_chunks
from dseg.store.read.reader import FeatureStore
from dseg.store.urls.location import location
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store

pytest.importorskip("obstore")


@pytest.fixture
def url(request):
    return location(f"memory://{request.node.name}/f.zarr")


def objects(url):
    return {str(p.relative_to(url)): p.read_bytes() for p in url.files()}


@pytest.mark.parametrize("codec", ["lz4", "uint8"])
def test_the_same_bytes_as_in_a_folder(url, tmp_path, spec, write_all, codec):
    written = write_all(url, spec, codec=codec)
    write_all(tmp_path / "s", spec, codec=codec)
    local = {p for p in (tmp_path / "s").rglob("*") if p.is_file()}
    local = {p.relative_to(tmp_path / "s").as_posix(): p.read_bytes() for p in local}
    assert objects(url) == local
    store, folder = FeatureStore.open(url), FeatureStore.open(tmp_path / "s")
    assert [i.sha256 for i in store.images] == [i.sha256 for i in folder.images]
    for row in range(len(written)):
        for size in spec.map_sizes:
            assert np.array_equal(store.map(row, size), folder.map(row, size))


def test_images_are_added_changed_and_failed(url, spec, write_all, make_maps, sha_of):
    write_all(url, spec, n=2)
    images = [PlannedImage(f"sub/{i}.png", (20, 30 + (i == 1))) for i in range(3)]
    assert plan_store(url, spec, images).indices["sub/2.png"] == 2
    assert [image.complete for image in FeatureStore.open(url).images] == [True, False, False]
    writer, zeros = FeatureWriter(url), np.zeros(len(spec.layers), int)
    assert writer.is_current(0, sha_of(0))
    assert not writer.is_current(1, sha_of(1))
    writer.write_image(1, [make_maps(spec, 9)], sha256=sha_of(9), nonfinite=zeros, clipped=zeros)
    writer.fail_image(2, "no")
    writer.fail_image(0, "gone")
    store = FeatureStore.open(url)
    assert [image.complete for image in store.images] == [False, True, False]
    assert [image.failed for image in store.images] == ["gone", None, "no"]
    assert writer.is_current(1, sha_of(9))


def test_a_missing_or_cut_object_is_noticed(url, spec, write_all):
    write_all(url, spec)
    size = spec.map_sizes[0]
    chunk = url / f"features/{size}/c/1/0/0/0"
    whole = chunk.read_bytes()
    for data, found in ((None, "is missing"), (whole[:2], "is cut off")):
        chunk.unlink() if data is None else chunk.write_bytes(data)
        store = FeatureStore.open(url)
        ((number, words),) = find_missing_chunks(store, store.images).items()
        assert number == 1
        assert found in words
        with pytest.raises(ChunkCorruptError):
            store.map(1, size)
        assert store.map(0, size).shape == spec.map_shape(size)


def test_other_features_and_other_objects_are_refused(url, spec, write_all):
    write_all(url, spec)
    with pytest.raises(SpecMismatchError):
        plan_store(url, replace(spec, noise_seed=7), [PlannedImage("a.png", (20, 30))])
    with pytest.raises(InputError, match=r"is not a feature store, but contains 'f\.zarr'"):
        plan_store(url.parent, spec, [PlannedImage("a.png", (20, 30))])
    with pytest.raises(InputError, match="there is no feature store at"):
        FeatureStore.open(url.parent)
