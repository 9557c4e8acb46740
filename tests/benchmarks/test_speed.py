"""The benchmarks of speed compare what is equal: small runs of what each sets side by side."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import fit_step  # noqa: E402
from dseg.store.read.reader import FeatureStore  # noqa: E402
from fitting.published import as_stack, published_members  # noqa: E402
from fitting.report import soonest  # noqa: E402
from real.results import Key, Record  # noqa: E402

import extract as extract_bench  # noqa: E402
import store as store_bench  # noqa: E402


def test_three_whole_forwards_give_the_activations_of_one_pass():
    apart, theirs, ours = extract_bench.compare(width=32, size=64, rounds=1)
    assert apart < 1e-5
    assert min(theirs[0], ours[0]) > 0


def test_steps_in_turn_and_at_once_come_to_the_same_weights():
    assert fit_step.largest_difference(dims=40, steps=5) < 1e-5


def test_plain_arrays_and_the_store_hold_the_same(tmp_path):
    spec = store_bench.FeatureSpec(
        {},
        "here",
        store_bench.SIZE,
        "squash",
        0,
        0,
        (store_bench.LayerSpec(50, 5, 6, 4, 4), store_bench.LayerSpec(50, 7, 3, 8, 8)),
    )
    rng = np.random.default_rng(0)
    maps = [
        {
            "4x4": rng.normal(size=(6, 4, 4)).astype(np.float16),
            "8x8": rng.normal(size=(3, 8, 8)).astype(np.float16),
        }
        for _ in range(2)
    ]
    arrays = store_bench.plain_arrays(tmp_path / "plain.zarr", spec, "lz4", 2)
    store_bench.write_plainly(arrays, maps)
    store_bench.write_ours(store_bench.planned(tmp_path / "f.zarr", spec, "lz4", 2), maps)
    store = FeatureStore.open(tmp_path / "f.zarr")
    for image, row in enumerate(maps):
        for size, values in row.items():
            np.testing.assert_array_equal(arrays[size][image], values)
            np.testing.assert_array_equal(store.map(image, size), values)
    repeated = store_bench.as_lsun({"4x4": maps[0]["4x4"][:4], "8x8": maps[0]["8x8"]}, spec)
    assert {size: part.shape for size, part in repeated.items()} == {
        "4x4": (6, 4, 4),
        "8x8": (3, 8, 8),
    }
    np.testing.assert_array_equal(repeated["4x4"][4:], maps[0]["4x4"][:2])


@pytest.fixture(scope="module")
def published():
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.normal(size=(640, 6)).astype(np.float32))
    y = X[:, :3].argmax(dim=1)
    return X, y, list(published_members(X, y, 3, members=2, seed=0, limit=60))


def test_the_published_loop_learns_and_stops_by_its_rule(published):
    X, y, members = published
    for member in members:
        with torch.no_grad():
            assert (member.network(X).argmax(1) == y).float().mean() > 0.9
        assert 4 * 10 + 50 < member.steps <= 100 * 10  # ten batches an epoch
    assert members[0].seconds < members[1].seconds


def test_published_members_score_the_same_as_a_stack(published):
    X, _, members = published
    with torch.no_grad():
        expected = torch.stack([member.network(X) for member in members])
        torch.testing.assert_close(as_stack(members)(X), expected, atol=1e-4, rtol=1e-4)


def record(row, seed, mean_iou, seconds):
    return Record(Key("set", row, seed, {}), {"mean_iou": mean_iou}, {"fit": seconds}, {})


def test_how_much_sooner_is_told_by_the_shortest_training_that_is_as_good():
    theirs = [record("published", 0, 0.3, 60.0), record("published", 1, 0.5, 60.0)]
    curve = {
        100: [record("whole, 100 steps", 0, 0.2, 1.0), record("whole, 100 steps", 1, 0.2, 1.0)],
        200: [record("whole, 200 steps", 0, 0.3, 2.0), record("whole, 200 steps", 1, 0.4, 2.0)],
        400: [record("whole, 400 steps", 0, 0.4, 4.0), record("whole, 400 steps", 1, 0.4, 4.0)],
    }
    assert soonest(theirs, curve) == [30.0, 0.0]  # the second is never as good
