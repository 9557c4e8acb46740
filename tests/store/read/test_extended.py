"""Rows of a second store behind those of a first one are read as they are in each."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from dseg.store.errors import InputError
from dseg.store.read.extended import ExtendedFeatures
from dseg.store.read.reader import FeatureStore


@pytest.fixture(scope="module")
def stores(spec, write_all, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extended")
    for name, n in (("a", 3), ("b", 2)):
        write_all(folder / f"{name}.zarr", spec, n)
    return [FeatureStore.open(folder / f"{name}.zarr") for name in "ab"]


def test_each_row_is_that_of_its_store(stores):
    first, second = stores
    both = pickle.loads(pickle.dumps(ExtendedFeatures(first, second)))
    assert [image.name for image in both.images] == [image.name for image in first.images]
    for size in both.spec.map_sizes:
        for row in range(3):
            np.testing.assert_array_equal(both.map(row, size), first.map(row, size))
        for row in range(2):
            np.testing.assert_array_equal(both.map(both.beyond(row), size), second.map(row, size))


def test_stores_of_other_features_are_refused(stores, spec, write_all, tmp_path):
    write_all(tmp_path / "c.zarr", replace(spec, noise_seed=1))
    with pytest.raises(InputError, match="hold different features"):
        ExtendedFeatures(stores[0], FeatureStore.open(tmp_path / "c.zarr"))
