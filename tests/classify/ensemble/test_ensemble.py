import numpy as np
import pytest
import torch
from dseg import PixelEnsemble, image_uncertainty
from dseg.classify.ensemble import fitting as module
from dseg.classify.ensemble.array_batches import ArraySampler
from dseg.classify.labels.classes import default_classes, named_classes
from dseg.store.errors import InputError
from safetensors.numpy import load_file

RNG = np.random.default_rng(0)
Y = np.arange(120) % 3
X = (np.eye(3)[Y] * 3 + RNG.normal(size=(120, 3))).astype(np.float32)
SMALL = {"n_members": 4, "hidden_layer_sizes": (16, 8), "max_steps": 60}


@pytest.fixture(scope="module")
def fitted():
    return PixelEnsemble(**SMALL).fit(X, Y)


@pytest.mark.parametrize("case", ["lt30", "ge30"])
class TestPublished:
    @pytest.fixture
    def ensemble(self, golden, case):
        return PixelEnsemble.from_published(golden / "pixel_classifier" / case)

    @pytest.fixture
    def expected(self, golden, case):
        return load_file(golden / "pixel_classifier" / case / "predict_labels.safetensors")

    def test_logits(self, ensemble, expected):
        logits = ensemble.logits(expected["features"])
        np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=1e-5)

    def test_vote_and_its_ties(self, ensemble, expected):
        votes = ensemble.predict_proba(expected["features"]) * 10
        shape = expected["vote_counts"].shape
        np.testing.assert_array_equal(votes.round().reshape(shape), expected["vote_counts"])
        predicted = ensemble.predict(expected["features"])
        np.testing.assert_array_equal(predicted, expected["seg"].ravel())

    @pytest.mark.parametrize(("n", "suffix"), [(256, ""), (63, "_7x9"), (25, "_5x5")])
    def test_uncertainty(self, ensemble, expected, n, suffix):
        js = ensemble.uncertainty(expected["features"][:n])
        assert image_uncertainty(js) == pytest.approx(
            float(expected[f"uncertainty{suffix}"][0]), abs=1e-6
        )
        seg = ensemble.predict(expected["features"][:n])
        np.testing.assert_array_equal(seg, expected[f"seg{suffix}"].ravel())


class TestPredict:
    def test_logits_have_members_first(self, fitted):
        assert fitted.logits(X).shape == (4, 120, 3)

    def test_the_vote_by_its_definition(self, fitted):
        votes = torch.from_numpy(fitted.logits(X).argmax(-1))
        np.testing.assert_array_equal(fitted.predict(X), torch.mode(votes, dim=0).values)

    def test_the_mean_by_its_definition(self, fitted):
        mean = PixelEnsemble(**SMALL, voting="mean").fit(X, Y)
        p = torch.from_numpy(fitted.logits(X)).softmax(-1).mean(0).numpy()
        np.testing.assert_allclose(mean.predict_proba(X), p, atol=1e-6)
        np.testing.assert_array_equal(mean.predict(X), p.argmax(-1))

    def test_the_lowest_class_wins_a_tie(self):
        ensemble = PixelEnsemble(**SMALL).fit(X, Y)
        with torch.no_grad():
            ensemble.stack_.weights[2].zero_()
            ensemble.stack_.biases[2].copy_(torch.eye(3)[[2, 1, 2, 1]])
        assert ensemble.predict_proba(X[:1]).tolist() == [[0, 0.5, 0.5]]
        assert ensemble.predict(X[:1]) == 1

    def test_chunks_do_not_change_the_answer(self, fitted, monkeypatch):
        whole = fitted.logits(X), fitted.uncertainty(X), fitted.predict(X)
        monkeypatch.setattr(module, "CHUNK_BYTES", 4 * (4 * 16 + 3) * 7)
        np.testing.assert_allclose(fitted.logits(X), whole[0], atol=1e-5)
        np.testing.assert_allclose(fitted.uncertainty(X), whole[1], atol=1e-6)
        np.testing.assert_array_equal(fitted.predict(X), whole[2])

    def test_one_member_cannot_be_uncertain(self):
        alone = PixelEnsemble(**{**SMALL, "n_members": 1}).fit(X, Y)
        with pytest.raises(InputError, match="needs at least two"):
            alone.uncertainty(X)


class TestFit:
    def test_labels_of_any_kind(self):
        names = np.array(["tree", "road", "sky"])[Y]
        ensemble = PixelEnsemble(**SMALL).fit(X, names)
        assert ensemble.score(X, names) > 0.8
        assert ensemble.class_info_ == named_classes(["road", "sky", "tree"])

    def test_members_differ(self, fitted):
        assert len({tuple(scores.ravel()) for scores in fitted.logits(X)}) == 4

    def test_a_member_does_not_depend_on_how_many_there_are(self, fitted):
        fewer = PixelEnsemble(**{**SMALL, "n_members": 2}).fit(X, Y)
        np.testing.assert_allclose(fewer.logits(X), fitted.logits(X)[:2], rtol=1e-3, atol=1e-3)

    def test_the_published_recipe(self):
        ensemble = PixelEnsemble(**SMALL, recipe="paper").fit(X, Y)
        assert ensemble.log_.recipe.name == "paper"
        assert all(member.steps == 100 for member in ensemble.log_.members)  # 1 batch an epoch
        assert ensemble.score(X, Y) > 0.8

    def test_only_one_class_is_refused(self):
        with pytest.raises(InputError, match="only one class is present, 'sky'"):
            PixelEnsemble(**SMALL).fit(X, ["sky"] * 120)

    def test_partial_fit_goes_on(self, fitted):
        ensemble = PixelEnsemble(**SMALL, batch_size=20)
        for _ in range(20):
            ensemble.partial_fit(X, Y, classes=[0, 1, 2, 3])
        assert ensemble.score(X, Y) > 0.8
        assert ensemble.logits(X).shape == (4, 120, 4)

    def test_partial_fit_goes_on_from_fit(self):
        ensemble = PixelEnsemble(**SMALL).fit(X, Y)
        before = ensemble.logits(X)
        ensemble.partial_fit(X, Y)
        assert 0 < np.abs(ensemble.logits(X) - before).max() < 2
        assert ensemble.score(X, Y) > 0.8

    def test_fit_starts_anew(self, fitted):
        ensemble = PixelEnsemble(**SMALL).partial_fit(X, Y, classes=[0, 1, 2]).fit(X, Y)
        np.testing.assert_array_equal(ensemble.logits(X), fitted.logits(X))

    def test_partial_fit_needs_the_classes_first(self):
        with pytest.raises(InputError, match="classes must be passed on the first call"):
            PixelEnsemble(**SMALL).partial_fit(X, Y)

    def test_partial_fit_refuses_other_classes(self, fitted):
        ensemble = PixelEnsemble(**SMALL).partial_fit(X, Y, classes=[0, 1, 2])
        with pytest.raises(InputError, match="differs from the first call"):
            ensemble.partial_fit(X, Y, classes=[0, 1])
        with pytest.raises(InputError, match=r"y has the class .*3.* not among"):
            ensemble.partial_fit(X, Y + 1)


class TestFitBatches:
    def test_equals_fit(self, fitted):
        sampler = ArraySampler(X, members=4)
        ensemble = PixelEnsemble(**SMALL).fit_batches(sampler, Y.astype(np.uint16))
        np.testing.assert_array_equal(ensemble.logits(X), fitted.logits(X))
        assert ensemble.class_info_ == default_classes(3)

    def test_class_ids_stay_what_they_are(self):
        classes = named_classes(["void", "a", "b", "c", "never seen"])
        sampler, seen = ArraySampler(X, members=4), []
        ensemble = PixelEnsemble(**SMALL).fit_batches(
            sampler, Y + 1, classes=classes, progress=lambda *told: seen.append(told)
        )
        assert ensemble.classes_.tolist() == [0, 1, 2, 3, 4]
        assert set(ensemble.predict(X)) == {1, 2, 3}
        assert ensemble.class_info_ == classes
        assert [step for step, _, _ in seen] == [1, 11, 21, 31, 41, 51, 60]
        assert seen[-1][2].shape == (4,)

    @pytest.mark.parametrize(
        ("members", "labels", "words"),
        [
            (3, Y, "the sampler draws for 3 members, but the ensemble has 4"),
            (4, Y[:9], r"the sampler has 120 pixels but the labels are int64 of shape \(9,\)"),
            (4, Y / 2, "the labels are float64"),
            (4, Y + 1, "class ids go from 1 to 3 but there are 3 classes, 0 to 2"),
            (4, Y * 0, "only one class is present, 'class 0'"),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, members, labels, words):
        sampler = ArraySampler(X, members=members)
        with pytest.raises(InputError, match=words):
            PixelEnsemble(**SMALL).fit_batches(sampler, labels, classes=default_classes(3))
