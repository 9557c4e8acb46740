"""Rare classes count more, by as much as asked; the published recipe knows nothing of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dseg import PixelEnsemble
from dseg.classify.ensemble.array_batches import ArraySampler
from dseg.classify.ensemble.class_balance import class_weights
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.ensemble.recipes import Recipe
from dseg.classify.ensemble.training import Trainer, train


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_the_mean_weight_of_a_pixel_is_one(balance):
    counts = torch.tensor([70_000, 0, 29_999, 1])
    weights = class_weights(counts, balance)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1, abs=1e-6)
    assert weights.isfinite().all()


def test_its_ends_are_pixels_alike_and_classes_alike():
    counts = torch.tensor([900, 90, 10])
    assert class_weights(counts, 0.0).tolist() == [1, 1, 1]
    shares = class_weights(counts, 1.0) * counts / counts.sum()
    np.testing.assert_allclose(shares, [1 / 3] * 3, rtol=1e-6)


def test_the_loss_is_the_weighted_mean_over_the_batch():
    stack = MemberStack(2, 5, (8, 4), 3)
    stack.initialise([torch.Generator().manual_seed(m) for m in range(2)])
    features, labels = torch.randn(2, 16, 5), torch.randint(3, (2, 16))
    weights = torch.tensor([0.5, 1.0, 4.0])
    scores = stack.select([0, 1]).train()(features).log_softmax(dim=2)
    expected = [
        np.mean([-weights[c] * float(s[c].detach()) for s, c in zip(*pair, strict=True)])
        for pair in zip(scores, labels.tolist(), strict=True)
    ]
    losses = Trainer(stack, 1e-2, weights).step(features, labels)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def a_rare_class(n=4000):
    """Two classes that overlap; one pixel in twenty is of the second."""
    rng = np.random.default_rng(0)
    y = (rng.random(n) < 0.05).astype(int)
    return (rng.normal(size=(n, 4)) + 1.2 * y[:, None]).astype(np.float32), y


def test_a_rare_class_is_found_more_often():
    X, y = a_rare_class()
    found = [
        PixelEnsemble(n_members=3, max_steps=300, balance=balance).fit(X, y).predict(X)[y == 1]
        for balance in (0.0, 0.3, 1.0)
    ]
    shares = [mask.mean() for mask in found]
    assert shares[0] + 0.05 < shares[1] < shares[2] - 0.05


def test_without_balance_training_is_what_it_was():
    X, y = a_rare_class(200)
    stacks = [MemberStack(2, 4, (8, 4), 2) for _ in range(2)]
    for stack in stacks:
        stack.initialise([torch.Generator().manual_seed(m) for m in range(2)])
    recipe = replace(Recipe.default(max_steps=20), balance=0.0)
    train(stacks[0], ArraySampler(X, members=2), y, recipe)
    alike = ArraySampler(X, members=2)
    train(stacks[1], alike, y, replace(recipe, balance=1e-9))
    for key, value in stacks[0].state_dict().items():
        torch.testing.assert_close(value, stacks[1].state_dict()[key], atol=1e-4, rtol=1e-4)


def test_the_published_recipe_counts_pixels_alike():
    assert Recipe.paper().balance == 0
    assert PixelEnsemble(recipe="paper")._recipe().balance == 0
    assert PixelEnsemble()._recipe().balance == Recipe.default().balance > 0


def test_a_saved_model_remembers_it(tmp_path):
    X, y = a_rare_class(200)
    PixelEnsemble(n_members=2, max_steps=5, balance=0.7).fit(X, y).save(tmp_path / "model")
    assert PixelEnsemble.load(tmp_path / "model").balance == 0.7


@pytest.mark.parametrize("balance", [-0.1, 1.1, float("nan"), "much", True])
def test_another_is_refused(balance):
    X, y = a_rare_class(200)
    with pytest.raises(ValueError, match=r"'balance' parameter .* must be None or a float"):
        PixelEnsemble(balance=balance).fit(X, y)
