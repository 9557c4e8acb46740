"""The dense export holds every pixel's vector, literally."""

import numpy as np
import pytest
import xarray
import zarr
from dseg.store.errors import InputError
from dseg.store.format import layout
from dseg.store.read.reader import FeatureStore
from dseg.store.write.dense import dense_bytes, export_dense
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store


@pytest.fixture
def store(tmp_path, spec, write_all):
    write_all(tmp_path / "s.zarr", spec, n=2)
    plan_store(tmp_path / "s.zarr", spec, [PlannedImage("late.png", (9, 9))])
    return FeatureStore.open(tmp_path / "s.zarr")


def test_it_is_the_dense_view_in_float16(store, tmp_path, spec, monkeypatch):
    monkeypatch.setattr(layout, "DENSE_TILE", 7)  # 16 = 7 + 7 + 2: tiles at the edge are smaller
    export_dense(store, tmp_path / "d.zarr")
    group = zarr.open_group(tmp_path / "d.zarr", mode="r")
    dense = group["features/dense"]
    assert dense.chunks == (1, 7, 7, spec.dims)
    assert dense.shape == (3, 16, 16, spec.dims)
    expected = store.dense()[:2].compute(scheduler="threads").astype(np.float16)
    np.testing.assert_array_equal(dense[:2], expected)
    assert np.isnan(dense[2]).all()
    assert list(group["complete"][:]) == [True, True, False]
    assert list(group["images/name"][:]) == ["sub/0.png", "sub/1.png", "late.png"]
    assert bytes(group["facts/sha256"][1]) == store.image(1).sha256
    assert dense_bytes(spec, 3) == dense.nbytes


def test_it_opens_in_xarray(store, tmp_path, spec):
    export_dense(store, tmp_path / "d.zarr")
    tree = xarray.open_datatree(tmp_path / "d.zarr", engine="zarr", consolidated=False)
    assert tree["features/dense"].dims == ("row", "y", "x", "channel")


def test_it_is_for_others(store, tmp_path, spec):
    export_dense(store, tmp_path / "d.zarr")
    with pytest.raises(InputError, match="is a dense export for other programs"):
        FeatureStore.open(tmp_path / "d.zarr")
    with pytest.raises(InputError, match="is a dense export, which cannot be extended"):
        plan_store(tmp_path / "d.zarr", spec, [PlannedImage("a.png", (9, 9))])
    with pytest.raises(InputError, match="is a dense export, which cannot be extended"):
        FeatureWriter(tmp_path / "d.zarr")


def test_nothing_is_overwritten_unasked(store, tmp_path):
    export_dense(store, tmp_path / "d.zarr")
    with pytest.raises(
        InputError, match=r"exists already: give another folder, or use --overwrite"
    ):
        export_dense(store, tmp_path / "d.zarr")
    export_dense(store, tmp_path / "d.zarr", overwrite=True)
    with pytest.raises(InputError, match="exists already"):
        export_dense(store, store.path, overwrite=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"is not a feature store, but contains 'a.jpg'"):
        export_dense(store, tmp_path / "photos", overwrite=True)


def test_an_unfinished_export_starts_over(store, tmp_path):
    (tmp_path / "s.zarr/features/8x8/c/1/0/0/0").rename(tmp_path / "aside")
    with pytest.raises(Exception, match="is missing"):
        export_dense(store, tmp_path / "d.zarr")
    (tmp_path / "aside").rename(tmp_path / "s.zarr/features/8x8/c/1/0/0/0")
    export_dense(store, tmp_path / "d.zarr")
    assert not np.isnan(zarr.open_array(tmp_path / "d.zarr", path="features/dense")[1]).any()
