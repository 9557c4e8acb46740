"""``dseg suggest``: unlabelled images on which the members disagree, each unlike the others."""

import json
import shutil

import numpy as np
import pytest
from dseg import FeatureStore
from dseg.classify.inference.suggestion import choose, uncertain_regions
from dseg.pipelines.suggest.pooling import Pooled
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@pytest.fixture
def suggested(dseg, store, model):
    def run(*words):
        result = dseg("suggest", store, "--model", model, "--json", *words)
        assert result.code == 0, result.err
        return json.loads(result.out)

    return run


def test_labelled_images_are_not_suggested(suggested, tmp_path):
    found = suggested("--out", "next.txt")
    assert found["candidates"] == 3
    stems = [one["stem"] for one in found["suggestions"]]
    assert sorted(stems) == ["p3", "p4", "p5"]
    assert (tmp_path / "next.txt").read_text().splitlines() == stems


def test_uncertainty_is_that_of_predict(suggested, dseg, store, model, tmp_path):
    assert dseg("predict", store, "--model", model, "--uncertainty").code == 0
    lines = (tmp_path / "masks/predictions.jsonl").read_text().splitlines()
    records = {one["stem"]: one for one in map(json.loads, lines) if "stem" in one}
    for one in suggested()["suggestions"]:
        assert one["uncertainty"] == pytest.approx(
            records[one["stem"]]["image_uncertainty"], abs=1e-6
        )
        js = np.load(tmp_path / f"masks/uncertainty/{one['stem']}.npy")
        for region in one["regions"]:
            top, left = region["top"], region["left"]
            inside = js[top : top + region["height"], left : left + region["width"]]
            assert inside.shape == (region["height"], region["width"])
            assert inside.mean() == pytest.approx(region["uncertainty"], abs=1e-5)
            assert region["uncertainty"] > js.mean()


def test_label_maps_and_lists_leave_images_out(suggested, world, tmp_path):
    (tmp_path / "labels").mkdir()
    shutil.copy(world.truth / "p4.png", tmp_path / "labels")
    with_labels = suggested("--labels", tmp_path / "labels")
    assert {one["stem"] for one in with_labels["suggestions"]} == {"p3", "p5"}
    (tmp_path / "some.txt").write_text("p5\np0\n")
    listed = suggested("--list", tmp_path / "some.txt")
    assert [one["stem"] for one in listed["suggestions"]] == ["p5"]
    assert len(suggested("--count", 1)["suggestions"]) == 1


def test_in_words(dseg, store, model):
    result = dseg("suggest", store, "--model", model, "--count", 2)
    rows = result.out.splitlines()
    assert len(rows) == 3
    assert rows[0].split()[0] == "1"
    assert rows[0].split()[2].startswith("p")
    assert rows[2].startswith("2 of 3 images without labels")


def test_nothing_left_to_label(dseg, store, model, world, tmp_path):
    result = dseg("suggest", store, "--model", model, "--labels", world.truth)
    assert result.code == 2
    assert "no image without labels has features: all are labelled" in result.err


def test_damaged_features_are_listed(dseg, store, model, tmp_path):
    shutil.copytree(store, tmp_path / "f.zarr")
    row = FeatureStore.open(store).image("p4").first_row
    next((tmp_path / "f.zarr/features").glob(f"*/c/{row}/0/0/0")).write_bytes(b"damaged")
    result = dseg("suggest", "f.zarr", "--model", model)
    assert result.code == 3
    assert "p4" in result.err
    assert "2 of 2 images without labels" in result.out


def test_one_member_cannot_disagree(dseg, store, world, tmp_path):
    words = ("--members", 1, "--max-steps", 5, "--out", "one")
    assert dseg("fit", store, world.labels, *words).code == 0
    result = dseg("suggest", store, "--model", "one")
    assert result.code == 2
    assert "'one' is one network" in result.err


def test_other_folders_are_refused(dseg, store, model, world):
    result = dseg("suggest", world.photos, "--model", model)
    assert result.code == 2
    assert "is no feature store: give the output of `dseg extract`" in result.err


def test_the_mean_activation_is_that_of_all_cells(store):
    features = FeatureStore.open(store)
    image = features.image("p1")
    rows = [
        {size: features.map(row, size) for size in features.spec.map_sizes}
        for row in features.rows(image.index)
    ]
    pooled = Pooled(features.spec)
    assert len(list(pooled.passing(rows))) == len(rows)
    expected = np.concatenate(
        [
            np.mean(
                [features.map(row, layer.map_size)[channels] for row in features.rows(1)], (0, 2, 3)
            )
            for layer, channels in zip(
                features.spec.layers, features.spec.channel_slices, strict=True
            )
        ]
    )
    np.testing.assert_allclose(pooled.mean, expected, rtol=2e-3, atol=2e-3)


def chosen_plainly(uncertainty, places, known, count):
    """One after the other, by the definition."""
    chosen = []
    while len(chosen) < min(count, len(places)):
        seen = [*known, *(places[k] for k in chosen)]
        values = [
            uncertainty[k] * min((np.linalg.norm(places[k] - one) for one in seen), default=1)
            for k in range(len(places))
        ]
        chosen.append(
            max((k for k in range(len(places)) if k not in chosen), key=lambda k: values[k])
        )
    return chosen


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(0, 3), st.integers(1, 10))
def test_the_choice_is_greedy(seed, n, k, count):
    rng = np.random.default_rng(seed)
    places, known = (rng.normal(size=(m, 3)).astype(np.float32) for m in (n, k))
    uncertainty = rng.uniform(0.1, 1, n).tolist()
    expected = chosen_plainly(uncertainty, places, known, count)
    assert choose(uncertainty, places, known, count) == expected


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.integers(1, 30)),
        elements=st.floats(0, 1, width=16),
    )
)
def test_regions_lie_in_the_image_apart_from_each_other(js):
    regions = uncertain_regions(js)
    assert len(regions) <= 3
    taken = np.zeros(js.shape, int)
    for one in regions:
        inside = js[one.top : one.top + one.height, one.left : one.left + one.width]
        assert inside.shape == (one.height, one.width)
        assert inside.mean() == pytest.approx(one.uncertainty, abs=1e-4)
        taken[one.top : one.top + one.height, one.left : one.left + one.width] += 1
    assert taken.max(initial=0) <= 1
    means = [one.uncertainty for one in regions]
    assert means == sorted(means, reverse=True)
