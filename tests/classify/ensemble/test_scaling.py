"""Scaling must not be seen in what comes out: only in how soon it is learnt."""

import numpy as np
import pytest
import torch
from dseg import PixelEnsemble
from dseg.classify.ensemble.array_batches import ArraySampler
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.ensemble.recipes import Recipe
from dseg.classify.ensemble.scaling import Scaling
from dseg.classify.ensemble.training import train


def some_features(n=64, dims=(7, 2, 3)):
    """Layers of very different scale and level."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(level, scale, (n, d)) for d, level, scale in zip(dims, (5, 0, -90), (1e-3, 2, 40), strict=True)]  # fmt: skip  # noqa: E501
    return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))


def test_every_layer_gets_the_same_variance_and_no_mean():
    features, layers = some_features(n=4096), (7, 2, 3)
    scaled = Scaling.of(features, layers).apply_(features.clone())
    assert scaled.mean(0).abs().max() < 1e-3
    totals = [float(part.var(0, correction=0).sum()) for part in scaled.split(layers, dim=1)]
    np.testing.assert_allclose(totals, [12 / 3] * 3, rtol=1e-4)


def test_a_nearly_constant_channel_is_not_blown_up():
    features = some_features()
    features[:, 0] = features[:, 1].std() * 1e-4 * torch.randn(64)
    scaling = Scaling.of(features, (7, 2, 3))
    assert scaling.factor[0] < 11 * scaling.factor[1]


def test_constant_features_stay_finite():
    features = torch.full((64, 4), 3.0)
    assert torch.isfinite(Scaling.of(features, (2, 2)).apply_(features)).all()


def test_a_constant_channel_counts_as_one_of_its_layers_mean_variance():
    features = some_features()
    features[:, 0] = 0.1  # of which the mean of 64 is not quite .1
    scaling = Scaling.of(features, (7, 2, 3))
    mean = features[:, :7].double().var(0, correction=0).mean()
    assert float(scaling.factor[0]) == pytest.approx(float((12 / 3 / 7 / mean).sqrt()), rel=1e-4)
    assert float(scaling.shift[0]) == np.float32(0.1)


def test_a_layer_of_equal_values_is_only_shifted():
    features = some_features()
    features[:, 7:9] = 0.1
    scaling = Scaling.of(features, (7, 2, 3))
    assert scaling.factor[7:9].tolist() == [1, 1]
    assert (scaling.apply_(features)[:, 7:9] == 0).all()


@pytest.mark.parametrize("unit", [2.0**-20, 2.0**-6, 2.0**7, 2.0**20])
def test_features_of_another_unit_are_scaled_alike(unit):
    """Powers of two only: of these floating-point numbers differ in nothing but the exponent."""
    features = some_features()
    features[:, [0, 7]] = 0.1
    features[:, 8] = 0
    scaling, other = (Scaling.of(f, (4, 3, 2, 3)) for f in (features, features * unit))
    varying = torch.tensor([0, 1, 2, 3, 4, 5, 6, 9, 10, 11])
    assert torch.equal(other.factor[varying] * unit, scaling.factor[varying])
    assert torch.equal(other.shift, scaling.shift * unit)


def test_folded_into_a_stack_it_changes_no_score():
    features, stack = some_features(), MemberStack(3, 12, (8, 4), 3)
    stack.initialise([torch.Generator().manual_seed(m) for m in range(3)])
    with torch.no_grad():
        stack.biases[0].normal_()
    scaling = Scaling.of(features, (7, 2, 3))
    with torch.no_grad():
        expected = stack.eval()(scaling.apply_(features.clone()))
        scaling.fold_into(stack)
        torch.testing.assert_close(stack(features), expected, atol=1e-4, rtol=1e-4)


def test_training_as_default_equals_training_on_scaled_features():
    features, y = some_features(n=200).numpy(), np.arange(200) % 3
    recipe = Recipe.default(max_steps=30)
    trained, plain = (MemberStack(2, 12, (8, 4), 3) for _ in range(2))
    for stack in (trained, plain):
        stack.initialise([torch.Generator().manual_seed(m) for m in range(2)])
    sampler = ArraySampler(features, members=2)
    train(trained, sampler, y, recipe, layers=(7, 2, 3))
    first = next(sampler.batches()).features[0]
    scaled = Scaling.of(first, (7, 2, 3)).apply_(torch.from_numpy(features.copy())).numpy()
    as_they_are = Recipe(**{**vars(recipe), "standardise": False})
    train(plain, ArraySampler(scaled, members=2), y, as_they_are)
    with torch.no_grad():
        got, expected = trained(torch.from_numpy(features)), plain(torch.from_numpy(scaled))
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=2e-3)


def test_layers_of_another_scale_give_the_same_masks():
    """The unit of a layer is an accident of the network: what is learnt must not hang on it."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(600, 6)).astype(np.float32)
    y = (X[:, 0] + X[:, 5] > 0).astype(int)
    other = X * np.float32([1, 1, 1, 1024, 1024, 1024])
    fitted = PixelEnsemble(n_members=2, max_steps=200).fit(X, y)
    of_other = PixelEnsemble(n_members=2, max_steps=200).fit(other, y)
    assert (fitted.predict(X) == of_other.predict(other)).mean() > 0.98


def with_a_rare_value(n=2000, dims=16):
    """Four classes by two channels; another is 0 but in 1 of 200 pixels, none of them sampled."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, dims)).astype(np.float32)
    y = (X[:, 0] > 0) * 2 + (X[:, 1] > 0)
    sample = next(ArraySampler(X, members=2, seed=0).batches()).index[0]
    X[:, 3] = 0
    X[np.setdiff1d(np.arange(n), sample)[::200], 3] = 30
    return X, y


def test_what_is_learnt_does_not_depend_on_the_unit_of_the_features():
    X, y = with_a_rare_value()

    def learnt(unit):
        other = X * np.float32(unit)
        fitted = PixelEnsemble(n_members=2, max_steps=100, random_state=0).fit(other, y)
        return fitted.predict_proba(other)

    plain = learnt(1)
    assert (plain.argmax(axis=1) == y).mean() > 0.95
    for unit in (2.0**-7, 2.0**7, 2.0**14):
        np.testing.assert_allclose(learnt(unit), plain, atol=1e-5)
    for unit in (0.01, 1e4):  # rounded, so nearly
        assert (learnt(unit).argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.99


def test_the_published_recipe_does_not_scale():
    assert not Recipe.paper().standardise
