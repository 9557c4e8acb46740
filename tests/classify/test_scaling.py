"""Scaling must not be seen in what comes out: only in how soon it is learnt."""

import numpy as np
import torch
from dseg import PixelEnsemble
from dseg.classify.arrays import ArraySampler
from dseg.classify.members import MemberStack
from dseg.classify.recipes import Recipe
from dseg.classify.scaling import Scaling
from dseg.classify.training import train


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


def test_the_published_recipe_does_not_scale():
    assert not Recipe.paper().standardise
