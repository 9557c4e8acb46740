"""Whatever is held, a pixel's vector is that of torch's own interpolation; and what is chosen."""

import numpy as np
import pytest
import torch
from dseg.store.errors import InputError
from dseg.store.read.reader import FeatureStore
from dseg.store.sampling.dask_tasks import TaskRunner
from dseg.store.sampling.pixel_set import PixelSet
from dseg.store.sampling.residence import ResidencePlan, minimum_memory, plan_residence
from dseg.store.sampling.sampler import BatchOrder, PixelSampler
from dseg.store.spec import FeatureSpec, LayerSpec
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store
from hypothesis import given, settings
from hypothesis import strategies as st

ROW = (24, 40)
# Sizes alternate in feature order; one map is as large as the row, one larger, one a single cell.
BLOCKS = ((5, 4, 3, 5), (6, 3, 12, 20), (7, 5, 3, 5), (8, 2, 24, 40), (9, 3, 1, 1), (10, 2, 48, 56))


def make_spec(fit="squash", overlap=0):
    layers = tuple(LayerSpec(t, *block) for t in (50, 250) for block in BLOCKS)
    return FeatureSpec({"kind": "t", "sha256": "00"}, "here", ROW, fit, overlap, 0, layers)


@pytest.fixture(scope="module", params=["squash", "tile"])
def filled(request, tmp_path_factory):
    """A store, where tiles of one image are several rows, and partly labelled pixels of it."""
    spec = make_spec(request.param, 8 if request.param == "tile" else 0)
    path, rng = tmp_path_factory.mktemp("residence") / "f.zarr", np.random.default_rng(0)
    plan_store(path, spec, [PlannedImage(f"{i}.png", (24 + 15 * i, 60)) for i in range(3)])
    writer, zeros = FeatureWriter(path), np.zeros(len(spec.layers), int)
    for image in FeatureStore.open(path).images:
        rows = [
            {
                size: rng.normal(0, 5, spec.map_shape(size)).astype(np.float16)
                for size in spec.map_sizes
            }
            for _ in range(image.row_count)
        ]
        writer.write_image(image.index, rows, sha256=bytes(32), nonfinite=zeros, clipped=zeros)
    store = FeatureStore.open(path)
    images = [image for image in store.images if image.index != 1]  # one image has no labels
    rows = [row for image in images for row in store.rows(image.index)]
    owners = [image.index for image in images for _ in store.rows(image.index)]
    factors = [1 if request.param == "tile" else 1 + i % 2 for i in range(len(rows))]
    masks = [
        rng.random((factor * ROW[0], factor * ROW[1])) < (0.02, 0.6, 1.0)[i % 3]
        for i, factor in enumerate(factors)
    ]
    places = map(np.flatnonzero, masks)
    return store, PixelSet(rows, owners, places, ROW, factors), masks


def reference(store, pixels, masks):
    """Every map upsampled whole by torch, joined in spec order: float16 (N, D)."""
    found = []
    for row, mask in zip(pixels.rows, masks, strict=True):
        maps = [
            torch.nn.functional.interpolate(
                torch.from_numpy(store.activations(int(row), layer.timestep, layer.block)).float()[
                    None
                ],
                size=mask.shape,
                mode="bilinear",
                align_corners=False,
            )[0]
            for layer in store.spec.layers
        ]
        found.append(torch.cat(maps).permute(1, 2, 0)[torch.from_numpy(mask)])
    return torch.cat(found).half().numpy()


def units_apart(a, b):
    """How many float16 numbers lie between."""

    def order(x):
        bits = x.view(np.int16).astype(np.int32)
        return np.where(bits < 0, -32768 - bits, bits)

    return np.abs(order(a) - order(b))


def everything(store, pixels, residence, pool=0):
    """Draw one epoch for two members: each drawn pixel's number and float16 vector."""
    plan = ResidencePlan(residence, 0, pool or pixels.n)
    sampler = PixelSampler(
        store, pixels, plan, BatchOrder(2, batch_size=64), runner=TaskRunner(workers=3)
    )
    numbers, vectors = [], []
    for batch in sampler.batches():
        if batch.epoch:
            break
        assert batch.features.dtype == torch.float32
        numbers.append(batch.index.reshape(-1))
        vectors.append(batch.features.reshape(-1, sampler.dims).numpy())
    vectors = np.concatenate(vectors)
    rounded = vectors.astype(np.float16)
    assert np.array_equal(rounded.astype(np.float32), vectors)  # they are float16 numbers
    return np.concatenate(numbers), rounded


@pytest.mark.parametrize("residence", ["vectors", "maps32", "maps", "rounds"])
def test_vectors_are_those_of_torch(filled, residence):
    store, pixels, masks = filled
    expected = reference(store, pixels, masks)
    numbers, vectors = everything(store, pixels, residence, 640 if residence == "rounds" else 0)
    assert len(np.unique(numbers)) > 0.9 * pixels.n
    apart = units_apart(vectors, expected[numbers])
    near_zero = np.abs(vectors.astype(np.float32) - expected[numbers]) < 1e-5  # sums that cancel
    assert (apart[~near_zero] <= 1).all()
    assert (apart > 0).mean() < 0.01


def test_all_ways_of_holding_give_the_very_same_numbers(filled):
    store, pixels, _ = filled
    _, wanted = everything(store, pixels, "vectors")
    for residence in ("maps32", "maps"):
        assert np.array_equal(everything(store, pixels, residence)[1], wanted)
    numbers, resident = everything(store, pixels, "vectors")
    by_number = dict(zip(numbers.tolist(), resident, strict=True))
    numbers, pooled = everything(store, pixels, "rounds", 640)
    common = [i for i, number in enumerate(numbers.tolist()) if number in by_number]
    assert len(common) > 1000
    assert all(np.array_equal(pooled[i], by_number[int(numbers[i])]) for i in common)


def test_tasks_that_would_return_a_lot_are_cut(filled, monkeypatch):
    from dseg.store.sampling import sampler as sampling

    store, pixels, _ = filled
    whole = everything(store, pixels, "vectors")
    monkeypatch.setattr(sampling, "PIECE_BYTES", 700)
    sampler = PixelSampler(store, pixels, ResidencePlan("vectors", 0, pixels.n), BatchOrder())
    seen = []
    sampler.load(seen.append)
    assert sum(seen) == sampler.tasks  # the bar ends at its end, however tasks are cut
    assert np.array_equal(everything(store, pixels, "vectors")[1], whole[1])


SPEC = make_spec()


@given(st.integers(1, 5000), st.integers(1, 12), st.integers(0, 10**7), st.integers(1, 128))
@settings(deadline=None, max_examples=300)
def test_what_is_chosen_fits(n_pixels, n_rows, free, batch):
    n_pixels = min(n_pixels, n_rows * ROW[0] * ROW[1])
    least = minimum_memory(SPEC, n_pixels, n_rows, batch)
    if free < least:
        with pytest.raises(InputError, match=f"at least {least} are needed"):
            plan_residence(SPEC, n_pixels, n_rows, free, batch)
        return
    plan = plan_residence(SPEC, n_pixels, n_rows, free, batch)
    assert plan.n_bytes <= free
    assert plan.residence != "rounds" or (plan.pool >= batch and plan.pool % batch == 0)
    assert plan_residence(SPEC, n_pixels, n_rows, least, batch).n_bytes <= least


def test_the_fastest_that_fits_is_chosen():
    maps, vector = 10 * SPEC.bytes_per_row, 2 * SPEC.dims + 128
    sparse, dense = maps // vector // 4, 9600

    def chosen(n_pixels, free):
        return plan_residence(SPEC, n_pixels, 10, free, 8).residence

    assert chosen(sparse, sparse * vector) == "vectors"
    assert chosen(sparse, sparse * vector - 1) == "rounds"
    if dense * vector > 2 * maps:
        assert chosen(dense, 10**9) == "maps32"  # vectors of all pixels are not worth their memory
    assert chosen(2 * maps // vector + 1, 2 * maps) == "maps32"
    assert chosen(2 * maps // vector + 1, 2 * maps - 1) == "maps"
    assert chosen(2 * maps // vector + 1, maps - 1) == "rounds"
