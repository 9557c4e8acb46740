"""Orders: every epoch is a permutation for every member, whatever is held in memory."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.ensemble.recipes import Recipe
from dseg.classify.ensemble.training import train
from dseg.store.read.reader import FeatureStore
from dseg.store.sampling.dask_tasks import TaskRunner
from dseg.store.sampling.pixel_set import PixelSet
from dseg.store.sampling.residence import ResidencePlan
from dseg.store.sampling.rounds import rounds_of_epoch
from dseg.store.sampling.sampler import BatchOrder, PixelSampler
from dseg.store.write.writer import FeatureWriter, PlannedImage, plan_store

RESIDENT = ("vectors", "maps32", "maps")
BATCH = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory, write_all, spec) -> FeatureStore:
    path = tmp_path_factory.mktemp("sampling") / "f.zarr"
    write_all(path, spec, n=5)
    return FeatureStore.open(path)


@pytest.fixture(scope="module")
def pixels(spec) -> PixelSet:
    """Four of five rows, each in part; N is no multiple of the batch."""
    rng = np.random.default_rng(0)
    masks = [rng.random(spec.row_shape) < share for share in (0.9, 0.3, 1.0, 0.05)]
    return PixelSet.of_masks([4, 0, 2, 3], [4, 0, 2, 3], masks)


def sampler_of(store, pixels, residence, *, pool=0, members=3, seed=0, workers=2, batch=BATCH):
    plan = ResidencePlan(residence, 0, pool or pixels.n)
    runner = TaskRunner(workers=workers)
    return PixelSampler(store, pixels, plan, BatchOrder(members, batch, seed), runner=runner)


def drawn(sampler, batches):
    """Pixel numbers (members, batches · size) and epochs of the first batches."""
    found = list(islice(sampler.batches(), batches))
    return np.concatenate([b.index for b in found], axis=1), [b.epoch for b in found]


@pytest.mark.parametrize("residence", RESIDENT)
def test_an_epoch_is_a_permutation_but_for_the_last_batch(store, pixels, residence):
    sampler = sampler_of(store, pixels, residence)
    per_epoch = sampler.batches_per_epoch
    assert pixels.n % BATCH
    assert per_epoch == pixels.n // BATCH
    index, epochs = drawn(sampler, 3 * per_epoch)
    assert epochs == [e for e in range(3) for _ in range(per_epoch)]
    for epoch in range(3):
        part = index[:, epoch * per_epoch * BATCH : (epoch + 1) * per_epoch * BATCH]
        for member in part:
            assert len(np.unique(member)) == per_epoch * BATCH
        assert 0 <= part.min() <= part.max() < pixels.n


@pytest.mark.parametrize("residence", RESIDENT)
def test_batches_that_fit_take_every_pixel(store, spec, residence):
    pixels = PixelSet.whole([0, 1], [0, 1], spec.row_shape)  # 512 = 32 batches of 16
    sampler = sampler_of(store, pixels, residence)
    index, _ = drawn(sampler, sampler.batches_per_epoch)
    for member in index:
        assert np.array_equal(np.sort(member), np.arange(pixels.n))


@pytest.mark.parametrize("pool", [BATCH, 4 * BATCH, 16 * BATCH])
def test_the_rounds_of_an_epoch_take_each_pixel_at_most_once(store, pixels, pool):
    """Whole batches of each round; without groups of images, as many as of all pixels."""
    sampler = sampler_of(store, pixels, "rounds", pool=pool)
    sizes = [len(r) for r in rounds_of_epoch(pixels.image_starts, pool, 0, 0)]
    expected = sum(size // BATCH for size in sizes)
    assert pixels.n // BATCH - 4 <= expected <= sampler.batches_per_epoch
    if pool >= 64 * 4:
        assert expected == pixels.n // BATCH
    index, epochs = drawn(sampler, expected + 1)
    assert epochs == [0] * expected + [1]
    for member in index[:, : expected * BATCH]:
        assert len(np.unique(member)) == expected * BATCH


def test_members_share_a_pool_but_not_its_order(store, pixels):
    pool = 16 * BATCH
    index, _ = drawn(sampler_of(store, pixels, "rounds", pool=pool), pool // BATCH)
    assert np.array_equal(np.sort(index[0]), np.sort(index[1]))
    assert not np.array_equal(index[0], index[1])


@pytest.mark.parametrize("residence", [*RESIDENT, "rounds"])
def test_members_epochs_and_seeds_have_orders_of_their_own(store, pixels, residence):
    pool = 16 * BATCH if residence == "rounds" else 0
    per_epoch = pixels.n // BATCH
    orders = []
    for seed in (0, 1):
        index, _ = drawn(sampler_of(store, pixels, residence, pool=pool, seed=seed), 2 * per_epoch)
        orders += [part for member in index for part in np.split(member, 2)]
    assert len(orders) == 12
    assert len({tuple(order[:BATCH]) for order in orders}) == 12
    chance = max(
        (a == b).mean() for i, a in enumerate(orders) for b in orders[:i]
    )  # how often two orders agree: 1 / N by chance, 1 / P for a shared pool
    assert chance < 0.04


@pytest.mark.parametrize("residence", [*RESIDENT, "rounds"])
def test_the_same_seed_draws_the_same_batches_whatever_reads(store, pixels, residence):
    pool = 8 * BATCH if residence == "rounds" else 0
    first, *others = (
        list(islice(sampler_of(store, pixels, residence, pool=pool, workers=w).batches(), 60))
        for w in (1, 1, 2, 7)
    )
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert np.array_equal(a.index, b.index)
            assert torch.equal(a.features, b.features)


def test_another_number_of_members_leaves_the_first_ones_alone(store, pixels):
    few, _ = drawn(sampler_of(store, pixels, "vectors", members=2), 10)
    many, _ = drawn(sampler_of(store, pixels, "vectors", members=5), 10)
    assert np.array_equal(few, many[:2])


def test_fewer_pixels_than_a_batch_make_one_batch(store, spec):
    mask = np.zeros(spec.row_shape, bool)
    mask[3, 4:9] = True
    sampler = sampler_of(store, PixelSet.of_masks([1], [1], [mask]), "vectors")
    assert (sampler.batch_size, sampler.batches_per_epoch) == (5, 1)
    assert np.array_equal(np.sort(next(sampler.batches()).index[2]), np.arange(5))


def test_ending_leaves_the_pool_in_the_making(store, pixels, monkeypatch):
    """Whoever stops training does not wait for chunks that nobody will train on."""
    reads = []
    original = FeatureStore.map

    def counted(self, row, size):
        reads.append(row)
        return original(self, row, size)

    rows = PixelSet.whole([0, 1, 2, 3, 4] * 40, list(range(200)), store.spec.row_shape)
    monkeypatch.setattr(FeatureStore, "map", counted)
    batches = sampler_of(store, rows, "rounds", pool=64 * 200).batches()
    next(batches)
    batches.close()
    assert len(reads) < 2 * len(rows.rows) * len(store.spec.map_sizes)


def learn(sampler, y, classes, steps):
    """Losses (steps, members) of a real training, and what was trained."""
    torch.manual_seed(0)
    stack = MemberStack(sampler.members, sampler.dims, (32, 16), classes)
    stack.initialise([torch.Generator().manual_seed(m) for m in range(sampler.members)])
    recipe = replace(Recipe.paper(), max_epochs=None, max_steps=steps, patience=10**6)
    losses = []
    train(stack, sampler, y, recipe, lambda step, most, now: losses.append(now.copy()))
    return np.array(losses), stack


def test_what_is_held_does_not_change_the_losses(store, pixels):
    y = np.random.default_rng(1).integers(0, 4, pixels.n)
    curves = [learn(sampler_of(store, pixels, r), y, 4, 100)[0] for r in RESIDENT]
    assert curves[0].shape == (100, 3)
    for curve in curves[1:]:
        assert np.abs(curve - curves[0]).max() < 1e-5
    assert len(np.unique(curves[0][0])) == 3  # members are not copies of each other


HARD = 6  # classes
SIDE = 28  # a tenth of a row's pixels is more than the 64 below which images go in groups


@pytest.fixture(scope="module")
def learnable(tmp_path_factory, spec, make_maps):
    """Random maps whose values decide the class by a rule that is not linear; labels are noisy."""
    path, rng = tmp_path_factory.mktemp("learnable") / "f.zarr", np.random.default_rng(5)
    spec = replace(spec, row_shape=(SIDE, SIDE))
    n, zeros = 80, np.zeros(len(spec.layers), int)
    plan_store(path, spec, [PlannedImage(f"{i}.png", (SIDE, SIDE)) for i in range(n)])
    writer = FeatureWriter(path)
    for i in range(n):
        maps = make_maps(spec, i)
        writer.write_image(i, [maps], sha256=bytes(32), nonfinite=zeros, clipped=zeros)
    store, half = FeatureStore.open(path), n // 2
    pixels = PixelSet.whole(range(n), range(n), spec.row_shape)
    position, yx = pixels.locate(np.arange(pixels.n))
    vectors = store.pixels(position, yx)
    hidden = np.tanh(0.4 * vectors @ rng.normal(0, 0.5, (spec.dims, 8)))
    scores = hidden @ rng.normal(0, 1, (8, HARD)) + rng.normal(0, 0.3, (pixels.n, HARD))
    y = (scores - np.median(scores, axis=0)).argmax(axis=1)
    seen = position < half  # learn from half of the images, score on the others
    learnt = PixelSet.whole(range(half), range(half), spec.row_shape)
    return store, learnt, y[seen], vectors[~seen], y[~seen]


def mean_iou(stack, vectors, truth):
    with torch.no_grad():
        chosen = stack(torch.from_numpy(vectors)).argmax(dim=2).numpy()  # (M, n)
    votes = np.stack([(chosen == c).sum(axis=0) for c in range(HARD)]).argmax(axis=0)
    both = np.array([((votes == c) & (truth == c)).sum() for c in range(HARD)])
    either = np.array([((votes == c) | (truth == c)).sum() for c in range(HARD)])
    return (both / either).mean()


@pytest.mark.parametrize("seeds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_rounds_learn_as_well_as_everything_resident(learnable, seeds):
    """Pools of a tenth of the pixels: the same mIoU within half a point, mean of paired seeds."""
    store, pixels, y, vectors, truth = learnable
    scores = {"vectors": [], "rounds": []}
    batch = 96
    pool = pixels.n // 10 // batch * batch
    for seed in range(seeds):
        for residence, found in scores.items():
            sampler = sampler_of(
                store, pixels, residence, pool=pool, members=4, seed=seed, batch=batch
            )
            torch.manual_seed(seed)
            stack = MemberStack(4, sampler.dims, (64, 32), HARD)
            stack.initialise([torch.Generator().manual_seed(10 * seed + m) for m in range(4)])
            train(stack, sampler, y, Recipe.default(400))
            found.append(mean_iou(stack, vectors, truth))
    print({name: np.round(found, 4).tolist() for name, found in scores.items()})
    resident, rounds = (np.mean(scores[name]) for name in ("vectors", "rounds"))
    assert 0.3 < resident < 0.95  # learnable, but not trivial
    assert abs(resident - rounds) < 0.005
