"""Masks equal those made the plain way, and do not depend on how the work is cut up."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from dseg.classify.ensemble.uncertainty import image_uncertainty, jensen_shannon
from dseg.classify.ensemble.voting import count_votes, disagreement, shifted_softmax
from dseg.classify.inference.factorised import FactorisedEnsemble
from dseg.classify.inference.prediction import Outputs, predict_image
from dseg.store.errors import DsegError, InputError
from dseg.store.geometry import blend_weight, plan_tiles
from dseg.store.spec import FeatureSpec, LayerSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

ALL = Outputs(probabilities=True, uncertainty=True)


@pytest.fixture(scope="module")
def spec(plain):
    return plain.spec()


@pytest.fixture(scope="module")
def stack(plain, spec):
    return plain.stack(spec.dims)


@pytest.fixture(scope="module")
def model(stack, spec):
    return FactorisedEnsemble(stack, spec)


def blended(plain, stack, spec, geometry, rows):
    """Blend the tiles' plain scores by definition, on the whole resized grid."""
    weight = torch.from_numpy(blend_weight(spec.row_shape))[..., None]
    total, weights = torch.zeros(4, *geometry.resized, 5), torch.zeros(*geometry.resized, 1)
    for (y, x), row in zip(geometry.offsets, rows, strict=True):
        tile = np.s_[y : y + 32, x : x + 32]
        total[:, *tile] += plain.scores(stack, spec, row) * weight
        weights[tile] += weight
    return total / weights


def check(plain, prediction, scores):
    """Compare with plain scores (M, H, W, C); labels may differ where two classes all but tie."""
    probabilities = scores.softmax(-1).mean(0).permute(2, 0, 1)
    np.testing.assert_allclose(prediction.probabilities, probabilities, atol=1e-3)
    np.testing.assert_allclose(prediction.uncertainty, plain.disagreement(scores), atol=2e-6)
    assert prediction.score == pytest.approx(
        image_uncertainty(plain.disagreement(scores)), abs=2e-6
    )
    top = scores.topk(2, -1).values
    clear = (top[..., 0] - top[..., 1] > 1e-4).all(0).numpy()
    assert clear.mean() > 0.98
    assert (prediction.mask == plain.vote(scores))[clear].all()


def same(a, b, atol=1e-6):
    assert (a.mask != b.mask).mean() < 1e-3
    np.testing.assert_allclose(a.uncertainty, b.uncertainty, atol=atol)
    np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-3)


class TestAgainstThePlainWay:
    @pytest.mark.parametrize("size", [(32, 32), (50, 41), (20, 100), (7, 5), (1, 1)])
    def test_squash(self, plain, stack, spec, model, size):
        maps = plain.maps(spec)
        prediction = predict_image(model, plan_tiles(size, (32, 32), "squash"), [maps], outputs=ALL)
        check(plain, prediction, plain.resize_scores(plain.scores(stack, spec, maps), size))

    @pytest.mark.parametrize("size", [(64, 40), (10, 30), (33, 34)])
    def test_pad_leaves_the_padding_out(self, plain, stack, spec, model, size):
        maps, geometry = plain.maps(spec), plan_tiles(size, (32, 32), "pad")
        height, width = geometry.resized
        scores = plain.scores(stack, spec, maps)[:, :height, :width]
        prediction = predict_image(model, geometry, [maps], outputs=ALL)
        check(plain, prediction, plain.resize_scores(scores, size))

    @pytest.mark.parametrize(
        ("size", "overlap"), [((70, 90), 8), ((64, 64), 0), ((100, 20), 30), ((33, 32), 16)]
    )
    def test_tiles_are_blended_by_their_distance_to_the_edge(
        self, plain, stack, spec, model, size, overlap
    ):
        geometry = plan_tiles(size, (32, 32), "tile", overlap)
        rows = [plain.maps(spec, seed) for seed in range(len(geometry.offsets))]
        prediction = predict_image(model, geometry, iter(rows), outputs=ALL)
        scores = blended(plain, stack, spec, geometry, rows)
        check(plain, prediction, plain.resize_scores(scores, size))

    def test_row_grid_as_published(self, plain, stack, spec, model):
        maps, geometry = plain.maps(spec), plan_tiles((50, 41), (32, 32), "squash")
        prediction = predict_image(model, geometry, [maps], at="row", outputs=ALL)
        check(plain, prediction, plain.scores(stack, spec, maps))

    def test_mean_probability_decides(self, plain, stack, spec, model):
        maps, geometry = plain.maps(spec), plan_tiles((32, 32), (32, 32), "squash")
        prediction = predict_image(model, geometry, [maps], voting="mean")
        p = plain.scores(stack, spec, maps).softmax(-1).mean(0)
        assert (prediction.mask == p.argmax(-1).numpy()).mean() > 0.998
        assert (prediction.mask != plain.vote(plain.scores(stack, spec, maps))).any()

    @pytest.mark.parametrize("name", ["lt30", "ge30"])
    def test_published_votes(self, golden, name):
        """The published members' scores, run through the vote: every tie, every pixel."""
        file = golden / "pixel_classifier" / name / "predict_labels.safetensors"
        expected = load_file(file)
        scores = expected["logits"].transpose(0, 1).contiguous()  # (M, n, C) -> (n, M, C)
        best, winners = scores.max(-1)
        votes = count_votes(winners, scores.shape[-1])
        assert torch.equal(votes.view(16, 16, -1).long(), expected["vote_counts"].long())
        assert torch.equal(votes.argmax(-1).view(16, 16), expected["seg"])
        shifted, p = shifted_softmax(scores, best)
        js = disagreement(shifted, p, p.mean(1)).numpy()
        assert image_uncertainty(js) == pytest.approx(float(expected["uncertainty"]), abs=1e-6)


class TestHowTheWorkIsCut:
    @settings(max_examples=15, deadline=None)
    @given(
        cells=st.integers(1, 400),
        fit=st.sampled_from(["squash", "pad", "tile"]),
        size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    )
    def test_bands_equal_the_whole(self, plain, stack, spec, model, cells, fit, size):
        geometry = plan_tiles(size, (32, 32), fit, 5 if fit == "tile" else 0)
        rows = [plain.maps(spec, seed) for seed in range(len(geometry.offsets))]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dseg.classify.inference.factorised.CELLS_CPU", cells)
            narrow = FactorisedEnsemble(stack, spec)
        same(
            predict_image(narrow, geometry, rows, outputs=ALL),
            predict_image(model, geometry, rows, outputs=ALL),
        )

    def test_one_exact_tile_is_the_untiled_image(self, plain, spec, model):
        rows = [plain.maps(spec)]
        results = [
            predict_image(model, plan_tiles((32, 32), (32, 32), fit), rows, outputs=ALL)
            for fit in ("squash", "pad", "tile")
        ]
        for other in results[1:]:
            assert (other.mask == results[0].mask).all()
            assert (other.uncertainty == results[0].uncertainty).all()
            assert (other.probabilities == results[0].probabilities).all()

    def test_tiles_that_do_not_overlap_are_each_what_they_are_alone(self, plain, spec, model):
        geometry = plan_tiles((64, 64), (32, 32), "tile", 0)
        rows = [plain.maps(spec, seed) for seed in range(4)]
        whole = predict_image(model, geometry, rows).mask
        alone = plan_tiles((32, 32), (32, 32), "squash")
        for (y, x), row in zip(geometry.offsets, rows, strict=True):
            tile = whole[y : y + 32, x : x + 32]
            assert (tile == predict_image(model, alone, [row]).mask).all()

    def test_rows_are_taken_one_at_a_time(self, plain, spec, model):
        """When a row is read, the one before has been let go."""

        class Row(dict):
            """A dict that can be watched."""

        before = []

        def rows():
            for seed in range(4):
                assert all(row() is None for row in before)
                row = Row(plain.maps(spec, seed))
                before.append(weakref.ref(row))
                yield row
                del row

        predict_image(model, plan_tiles((64, 64), (32, 32), "tile"), rows())
        assert len(before) == 4


class TestVoting:
    def test_the_lowest_class_wins_a_tie(self):
        winners = torch.tensor([[3, 1, 3, 1], [2, 2, 0, 4], [4, 3, 2, 1]])
        assert count_votes(winners, 5).argmax(-1).tolist() == [1, 2, 1]

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 30.0, 1000.0]))
    def test_disagreement_is_the_one_by_definition(self, seed, scale):
        random = torch.Generator().manual_seed(seed)
        scores = torch.randn(20, 6, 9, generator=random) * scale
        p = scores.softmax(-1)
        expected = jensen_shannon(p.transpose(0, 1).numpy())
        shifted, ours = shifted_softmax(scores, scores.amax(-1))
        torch.testing.assert_close(ours, p, rtol=1e-5, atol=1e-7)
        js = disagreement(shifted, ours, ours.mean(1)).numpy()
        np.testing.assert_allclose(js, expected, atol=1e-6)


class TestClassIds:
    @pytest.mark.parametrize(
        ("ids", "dtype"), [([9, 7, 5, 3, 255], "uint8"), ([9, 7, 5, 3, 256], "uint16")]
    )
    def test_mask_holds_ids(self, plain, spec, model, ids, dtype):
        geometry = plan_tiles((32, 32), (32, 32), "squash")
        places = predict_image(model, geometry, [plain.maps(spec)]).mask
        named = predict_image(model, geometry, [plain.maps(spec)], classes=ids).mask
        assert named.dtype == dtype
        assert (named == np.array(ids)[places]).all()

    @pytest.mark.parametrize("ids", [[0, 1], [0, 1, 2, 3, -1], [0, 1, 2, 3, 70000], list("abcde")])
    def test_refused(self, plain, spec, model, ids):
        geometry = plan_tiles((32, 32), (32, 32), "squash")
        with pytest.raises(InputError, match="a mask needs 5 class ids, whole numbers from 0"):
            predict_image(model, geometry, [plain.maps(spec)], classes=ids)


class TestRefusals:
    square = plan_tiles((32, 32), (32, 32), "squash")

    def test_scores_that_are_not_finite(self, plain, spec, model):
        maps = plain.maps(spec)
        maps["16x16"][0, 10, 3] = np.nan
        with pytest.raises(
            DsegError, match="are not finite, because the activations there contain NaN"
        ):
            predict_image(model, self.square, [maps])

    def test_too_few_and_too_many_rows(self, plain, spec, model):
        maps = plain.maps(spec)
        tiled = plan_tiles((64, 64), (32, 32), "tile")
        with pytest.raises(InputError, match="only 3 of 4 rows were given for an image of 64x64"):
            predict_image(model, tiled, [maps] * 3)
        with pytest.raises(InputError, match="more than 4 rows were given"):
            predict_image(model, tiled, [maps] * 5)
        with pytest.raises(InputError, match="only 0 of 1 rows were given"):
            predict_image(model, self.square, [])

    @pytest.mark.parametrize("fit", ["pad", "tile"])
    def test_row_grid_of_what_is_not_squashed(self, plain, spec, model, fit):
        with pytest.raises(InputError, match="a mask on the row grid is for images squashed"):
            predict_image(model, plan_tiles((60, 40), (32, 32), fit), [], at="row")

    def test_other_row_shape(self, model):
        with pytest.raises(InputError, match=r"rows of \(16, 16\), the model's features have rows"):
            predict_image(model, plan_tiles((20, 20), (16, 16), "squash"), [])

    def test_unknown_words(self, model):
        with pytest.raises(InputError, match="voting must be 'majority' or 'mean', got 'median'"):
            predict_image(model, self.square, [], voting="median")
        with pytest.raises(InputError, match="'image' or 'row' size, got 'tile'"):
            predict_image(model, self.square, [], at="tile")

    def test_uncertainty_of_one_member(self, plain, spec):
        model = FactorisedEnsemble(plain.stack(spec.dims, members=1), spec)
        assert predict_image(model, self.square, [plain.maps(spec)]).score is None
        with pytest.raises(
            InputError, match="the ensemble has 1 member: uncertainty measures how far"
        ):
            predict_image(model, self.square, [plain.maps(spec)], outputs=ALL)


def test_rows_wider_than_high(plain):
    layers = (LayerSpec(0, 0, 3, 4, 6), LayerSpec(0, 1, 2, 8, 12))
    spec = FeatureSpec({}, "", (16, 24), "squash", 0, 0, layers)
    stack, maps = plain.stack(5), plain.maps(spec)
    model = FactorisedEnsemble(stack, spec)
    prediction = predict_image(model, plan_tiles((37, 29), (16, 24), "squash"), [maps], outputs=ALL)
    check(plain, prediction, plain.resize_scores(plain.scores(stack, spec, maps), (37, 29)))


@pytest.mark.parametrize("voting", ["majority", "mean"])
def test_a_temperature_changes_the_probabilities_and_nothing_else(plain, spec, model, voting):
    maps, geometry = plain.maps(spec), plan_tiles((50, 41), (32, 32), "squash")
    one, other = (
        predict_image(model, geometry, [maps], voting=voting, outputs=replace(ALL, temperature=t))
        for t in (1, 3)
    )
    assert np.array_equal(one.mask, other.mask)
    assert np.array_equal(one.uncertainty, other.uncertainty)
    milder = one.probabilities.astype(np.float32) ** (1 / 3)
    assert np.allclose(other.probabilities, milder / milder.sum(axis=0), atol=2e-3)


def test_sampled_probabilities_are_those_of_the_whole(plain, spec, model):
    maps, geometry = plain.maps(spec), plan_tiles((50, 41), (32, 32), "squash")
    places = np.array([0, 7, 41, 1000, 50 * 41 - 1])
    whole = predict_image(model, geometry, [maps], outputs=ALL).probabilities.reshape(-1, 50 * 41)
    few = predict_image(model, geometry, [maps], outputs=Outputs(sample=places))
    assert few.probabilities is None
    assert np.allclose(few.sampled, whole[:, places].T, atol=1e-3)
