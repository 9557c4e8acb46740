"""Reducing commutes with interpolation: however features are held, the same reduced vectors."""

from itertools import islice

import numpy as np
import pytest
import torch
from dseg.store.read.reader import FeatureStore
from dseg.store.sampling.dask_tasks import TaskRunner
from dseg.store.sampling.pixel_set import PixelSet
from dseg.store.sampling.reduction import Reduction
from dseg.store.sampling.residence import ResidencePlan
from dseg.store.sampling.sampler import BatchOrder, PixelSampler, sample_vectors


@pytest.fixture(scope="module")
def store(tmp_path_factory, write_all, spec) -> FeatureStore:
    path = tmp_path_factory.mktemp("reduction") / "f.zarr"
    write_all(path, spec, n=3)
    return FeatureStore.open(path)


@pytest.fixture(scope="module")
def pixels(spec) -> PixelSet:
    rng = np.random.default_rng(0)
    return PixelSet.of_masks([2, 0], [2, 0], [rng.random(spec.row_shape) < 0.7 for _ in range(2)])


@pytest.fixture(scope="module")
def reduction(spec) -> Reduction:
    """18 and 4 channels become 5 and 2."""
    random = torch.Generator().manual_seed(0)
    shapes = {"4x4": (18, 5), "8x8": (4, 2)}
    return Reduction(
        spec,
        {size: torch.randn(shape, generator=random) for size, shape in shapes.items()},
        {size: torch.randn(shape[1], generator=random) for size, shape in shapes.items()},
    )


def plainly(store, pixels, reduction, index):
    """Gather all channels in float32 first, then one matrix product a map size."""
    spec = store.spec
    position, yx = pixels.locate(index)
    full = store.pixels(pixels.rows[position], yx)
    parts = []
    for size in spec.map_sizes:
        channels = [full[:, spec.offsets[i] : spec.offsets[i + 1]] for i in spec.layers_of(size)]
        matrix, shift = reduction.matrices[size].numpy(), reduction.shifts[size].numpy()
        parts.append(np.concatenate(channels, axis=1) @ matrix - shift)
    return np.concatenate(parts, axis=1)


def test_its_spec_has_one_layer_a_map_size(reduction, spec):
    layers = [(layer.channels, layer.map_size) for layer in reduction.spec.layers]
    assert layers == [(5, "4x4"), (2, "8x8")]
    assert reduction.spec.dims == 7
    assert reduction.full is spec


@pytest.mark.parametrize("residence", ["vectors", "maps32", "maps", "rounds"])
def test_batches_are_reduced_vectors(store, pixels, reduction, residence):
    pool = 64 if residence == "rounds" else pixels.n
    sampler = PixelSampler(
        store,
        pixels,
        ResidencePlan(residence, 0, pool),
        BatchOrder(members=2, batch_size=16),
        reduction=reduction,
    )
    batches = list(islice(sampler.batches(), 8))
    index = np.concatenate([batch.index.ravel() for batch in batches])
    features = torch.cat([batch.features.reshape(-1, 7) for batch in batches]).numpy()
    assert len(np.unique(index)) > 50
    expected = plainly(store, pixels, reduction, index)
    # three roundings to float16: of a gathered vector or a map, and of what is reduced
    np.testing.assert_allclose(features, expected, atol=2e-2, rtol=2e-3)
    assert np.abs(expected).max() > 5


def test_maps_and_vectors_are_reduced_alike(store, reduction):
    maps = store.map(0, "4x4")
    cells = maps.reshape(18, 16).T
    reduced = reduction.maps("4x4", maps)
    assert reduced.shape == (5, 4, 4)
    assert reduced.dtype == np.float16
    np.testing.assert_array_equal(reduced.reshape(5, 16).T, reduction.vectors("4x4", cells))


def test_a_sample_is_drawn_from_all_rows_without_doubles(store, pixels, spec):
    seen = []
    runner = TaskRunner(workers=2)
    sample = sample_vectors(store, pixels, 100, 0, runner, seen.append)
    again = sample_vectors(store, pixels, 100, 0, runner)
    everything = sample_vectors(store, pixels, 10**6, 0, runner)
    other = sample_vectors(store, pixels, 100, 1, runner)
    assert sum(seen) == 4  # two rows, two map sizes
    assert {size: part.shape for size, part in sample.items()} == {
        "4x4": (100, 18),
        "8x8": (100, 4),
    }
    position, yx = pixels.locate(np.arange(pixels.n))
    full = store.pixels(pixels.rows[position], yx).astype(np.float16)
    expected = {
        size: np.concatenate(
            [full[:, spec.offsets[i] : spec.offsets[i + 1]] for i in spec.layers_of(size)], axis=1
        )
        for size in spec.map_sizes
    }
    for size in spec.map_sizes:
        np.testing.assert_array_equal(sample[size], again[size])
        assert not np.array_equal(sample[size], other[size])
        np.testing.assert_array_equal(everything[size], expected[size])  # in the pixels' order
    drawn, all_ = (
        {row.tobytes() for row in np.concatenate([part["4x4"], part["8x8"]], axis=1)}
        for part in (sample, expected)
    )
    assert len(all_) == pixels.n
    assert len(drawn) == 100
    assert drawn <= all_
