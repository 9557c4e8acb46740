"""A training that is broken off goes on as if it had not been; trained parts learn slower."""

import numpy as np
import pytest
import torch
from dseg.distil.data.augmentation import Augmentation
from dseg.distil.data.pairs import TrainingPairs
from dseg.distil.networks.start import Start
from dseg.distil.train.agreement import agreement
from dseg.distil.train.recipe import Recipe, learning_rate, paper_recipe
from dseg.distil.train.training import StudentTraining
from dseg.pretrain.run.loop import Length, train
from dseg.pretrain.run.state import read_state, write_state

CPU = torch.device("cpu")
RECIPE = Recipe(batch_size=2, warmup=2, ema_decay=0.7, seed=3)


def begin(tiny, seed, recipe=RECIPE):
    return StudentTraining(Start(tiny(seed), "", trained="trunk"), recipe, CPU)


@pytest.fixture
def pairs(examples):
    def make():
        return TrainingPairs(examples(), [], 0, (32, 32), Augmentation(), 3, 3, 10**8)

    return make


def run(training, pairs, steps):
    return train(training, pairs, Length(steps=steps), every=0, advance=lambda moment: None)


def test_a_broken_run_equals_an_unbroken_one_bit_for_bit(tiny, pairs, tmp_path):
    whole, first = begin(tiny, 1), begin(tiny, 1)
    run(whole, pairs(), 8)
    for step in range(4):  # as `train` does, at the rates of a run of 8
        first.step(pairs().batch(2 * step, 2), first.rate(step / 8))
    tensors, values = first.state()
    write_state(tmp_path / "state", tensors, values | {"seconds": 1.0})
    second = begin(tiny, 2)  # other weights, which the state replaces
    second.restore(*read_state(tmp_path / "state"))
    torch.rand(7)  # a generator that others use does not matter
    run(second, pairs(), 8)
    (a, values_a), (b, values_b) = whole.state(), second.state()
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
    assert values_a == values_b


def test_parts_that_are_trained_already_learn_slower(tiny, pairs):
    """By a tenth: the first step of AdamW is of the size of the rate, whatever the gradient."""
    training = begin(tiny, 1, Recipe(batch_size=2, trained_factor=0.1, weight_decay=0))
    before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    training.step(pairs().batch(0, 2), 1e-3)
    moved = {
        name: float((p.detach() - before[name]).abs().max())
        for name, p in training.network.named_parameters()
    }
    assert moved["trunk.weight"] == pytest.approx(1e-4, rel=0.05)
    assert moved["rest.3.weight"] == pytest.approx(1e-3, rel=0.05)


def test_the_statistics_of_batches_are_averaged_with_the_weights(tiny, pairs):
    training, seen = begin(tiny, 1), []
    for step in range(3):
        training.step(pairs().batch(2 * step, 2), 1e-3)
        seen.append(training.network.rest[0].running_mean.clone())
    expected = seen[0]
    for n, now in enumerate(seen[1:], 1):
        decay = min(RECIPE.ema_decay, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * now
    torch.testing.assert_close(training.averaged.rest[0].running_mean, expected)


def test_as_published_the_rate_is_constant_and_nothing_is_averaged(tiny, pairs):
    recipe = paper_recipe(0)
    assert {learning_rate(recipe, step, step / 9) for step in range(10)} == {1e-3}
    training = begin(tiny, 1, recipe)
    for step in range(2):
        training.step(pairs().batch(8 * step, 8), 1e-3)
    now, kept = training.network.state_dict(), training.averaged.state_dict()
    assert all(torch.equal(now[key], kept[key]) for key in now)


def test_it_learns_what_it_sees(tiny, pairs, examples):
    training = begin(tiny, 1, Recipe(batch_size=4, learning_rate=0.05, warmup=0, ema_decay=0.5))
    before = agreement(training.averaged, examples(), 3)
    run(training, pairs(), 40)
    after = agreement(training.averaged, examples(), 3)
    assert after > before + 0.2
    assert after > 0.6


def test_agreement_is_that_of_masks_and_label_maps(tiny, examples):
    network, counts = tiny(0).eval(), np.zeros((3, 3))
    for example in examples():
        loaded = example.load()
        x = torch.from_numpy(loaded.pixels.copy()).permute(2, 0, 1)[None].float() / 255
        mask = network(x)[0].argmax(0).numpy()
        for predicted, label in zip(mask.ravel(), loaded.truth.ids.ravel(), strict=True):
            if label < 3:
                counts[label, predicted] += 1
    hits = np.diag(counts)
    iou = hits / (counts.sum(0) + counts.sum(1) - hits)
    assert agreement(network, examples(), 3) == pytest.approx(iou.mean())
