import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from dseg.classify.ensemble.array_batches import ArraySampler
from dseg.classify.ensemble.members import MemberStack
from dseg.classify.ensemble.model_files import stack_published
from dseg.classify.ensemble.recipes import Recipe, StoppingRule
from dseg.classify.ensemble.training import (
    LOG_LENGTH,
    MemberLog,
    Trainer,
    TrainingLog,
    seconds_per_step,
    train,
)
from dseg.store.errors import DsegError
from dseg.store.sampling.batch import Batch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torch.utils._python_dispatch import TorchDispatchMode

HIDDEN, N_CLASSES = (8, 4), 3


@pytest.fixture(autouse=True)
def _the_same_numbers_each_time():
    torch.manual_seed(0)


def a_stack(members=3, dims=5, seed=0):
    stack = MemberStack(members, dims, HIDDEN, N_CLASSES)
    stack.initialise([torch.Generator().manual_seed(seed + m) for m in range(members)])
    return stack


def some_pixels(n=200, dims=5):
    rng = np.random.default_rng(0)
    y = rng.integers(0, N_CLASSES, n)
    centres = rng.normal(size=(N_CLASSES, dims)) * 2
    return (centres[y] + rng.normal(size=(n, dims))).astype(np.float32), y


class NoFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        assert getattr(out, "dtype", None) != torch.float64, func
        return out


def state_of(stack, member):
    return {key: value[member].clone() for key, value in stack.state_dict().items()}


def assert_same(state, other, **tolerance):
    for key, value in state.items():
        torch.testing.assert_close(value, other[key], **tolerance or {"rtol": 0, "atol": 0})


@dataclass
class Recorded:
    """A sampler that replays the published run's batches of all members."""

    features: np.ndarray
    orders: np.ndarray
    batch_size: int = 64

    def __post_init__(self):
        (self.n, self.dims), self.members = self.features.shape, len(self.orders)

    @property
    def batches_per_epoch(self):
        return self.n // self.batch_size

    def batches(self):
        for step in range(self.orders.shape[1]):
            index = self.orders[:, step].astype(np.int64)
            epoch = step // self.batches_per_epoch
            yield Batch(epoch, torch.from_numpy(self.features[index]), index)


@pytest.fixture(scope="session")
def published(small_golden):
    """The published run: features, labels and losses; what it drew; what it reports."""
    folder = small_golden / "training"
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "training.safetensors")
    return tensors, load_file(folder / "draws.safetensors"), config


def test_published_losses(published):
    tensors, draws, config = published
    members = [run["model"] for run in config["runs"]]
    shared = min(run["iterations"] for run in config["runs"])
    states = [
        {
            k.split(".", 1)[1]: torch.from_numpy(v)
            for k, v in draws.items()
            if k.startswith(f"init{m}.")
        }
        for m in members
    ]
    seen = []
    train(
        stack_published(states),
        Recorded(tensors["features"], np.stack([draws[f"order{m}"][:shared] for m in members])),
        tensors["labels"],
        replace(Recipe.paper(), max_steps=100),
        lambda step, steps, losses: seen.append(losses),
    )
    expected = np.stack([tensors[f"losses{m}"][:100] for m in members], axis=1)
    np.testing.assert_allclose(np.stack(seen), expected, rtol=0, atol=1e-5)


def test_published_stop(published):
    tensors, _, config = published
    for run in config["runs"]:
        rule, losses = StoppingRule(), tensors[f"losses{run['model']}"]
        stops = [rule.stops(i // config["batches_per_epoch"], v) for i, v in enumerate(losses)]
        assert stops == [False] * (run["iterations"] - 1) + [True]


def test_the_first_four_epochs_do_not_count():
    rule = StoppingRule(patience=2)
    assert not any(rule.stops(epoch, 0.0) for epoch in (0, 1, 2, 3) for _ in range(9))
    assert [rule.stops(4, v) for v in (5.0, 5.0, 5.0, 4.9, 5, 5, 5)] == [False] * 6 + [True]


def test_members_train_as_if_alone():
    X, _ = some_pixels()
    features = torch.from_numpy(X)[torch.randint(200, (30, 3, 16))]
    labels = torch.randint(N_CLASSES, (30, 3, 16))
    together = Trainer(stack := a_stack(), 1e-2)
    alone = [Trainer(stack.select([m]), 1e-2) for m in range(3)]
    for x, t in zip(features, labels, strict=True):
        together.step(x, t)
        for m in range(3):
            alone[m].step(x[m : m + 1], t[m : m + 1])
    together.retire([0, 1, 2])
    for m in range(3):
        alone[m].retire([0])
        assert_same(state_of(stack, m), state_of(alone[m].stack, 0), rtol=1e-4, atol=1e-5)


def test_a_retired_member_changes_no_more_and_the_others_do_not_notice():
    features = torch.randn(20, 3, 16, 5)
    labels = torch.randint(N_CLASSES, (20, 3, 16))
    stack, undisturbed = a_stack(), a_stack()
    trainer, reference = Trainer(stack, 1e-2), Trainer(undisturbed, 1e-2)
    for i in range(20):
        if i == 10:
            trainer.retire([1])
            frozen = state_of(stack, 1)
        trainer.step(features[i][trainer.active], labels[i][trainer.active])
        reference.step(features[i], labels[i])
    trainer.retire([0, 2])
    reference.retire([0, 1, 2])
    assert_same(frozen, state_of(stack, 1))
    for m in (0, 2):
        assert_same(state_of(stack, m), state_of(undisturbed, m), rtol=1e-4, atol=1e-5)


def test_select_and_assign_are_inverse():
    stack = a_stack(4)
    part, other = stack.select([3, 1]), a_stack(4, seed=9)
    other.assign([3, 1], part)
    assert_same(state_of(other, 3), state_of(stack, 3))
    assert_same(state_of(other, 1), state_of(stack, 1))


def test_a_batch_of_one_pixel_does_no_harm():
    trainer = Trainer(stack := a_stack())
    trainer.step(torch.randn(3, 1, 5), torch.zeros(3, 1, dtype=torch.int64))
    trainer.retire([0, 1, 2])
    assert all(value.isfinite().all() for value in stack.state_dict().values())
    assert (stack.get_buffer("variance0") == 1).all()


class TestTrain:
    def test_members_stop_on_their_own_by_the_published_rule(self):
        X, y = some_pixels()
        y = np.random.default_rng(1).permutation(y)  # nothing to learn: members soon stop
        sampler = ArraySampler(X, members=3, batch_size=20)
        log = train(a_stack(), sampler, y, replace(Recipe.paper(), patience=5))
        steps = [member.steps for member in log.members]
        assert len(set(steps)) > 1
        assert all(40 < s < 1000 for s in steps)
        assert all(m.epochs == -(-m.steps // 10) for m in log.members)
        assert {m.stopped_by for m in log.members} == {"no new lowest loss in 5 batches"}

    def test_the_paper_recipe_ends_after_its_epochs(self):
        X, y = some_pixels()
        recipe = replace(Recipe.paper(), max_epochs=3)
        log = train(a_stack(), ArraySampler(X, members=3), y, recipe)
        assert [(m.steps, m.epochs) for m in log.members] == [(9, 3)] * 3
        assert {m.stopped_by for m in log.members} == {"9 steps"}

    def test_the_default_recipe_learns_within_its_steps(self):
        X, y = some_pixels()
        log = train(stack := a_stack(), ArraySampler(X, members=3), y, Recipe.default(200))
        assert [m.steps for m in log.members] == [200] * 3
        assert all(m.losses[-1][1] < 0.6 * m.losses[0][1] for m in log.members)
        assert (stack(torch.from_numpy(X)).argmax(-1).numpy() == y).mean() > 0.8

    def test_fewer_pixels_than_a_batch_make_one_batch(self):
        X, y = some_pixels(10)
        sampler = ArraySampler(X, members=3, batch_size=64)
        assert sampler.batches_per_epoch == 1
        log = train(a_stack(), sampler, y, Recipe.default(20))
        assert log.members[0].epochs == 20

    def test_the_same_seed_gives_the_same_numbers(self):
        X, y = some_pixels()
        stacks = [a_stack(), a_stack()]
        for stack in stacks:
            train(stack, ArraySampler(X, members=3, seed=5), y, Recipe.default(30))
        for m in range(3):
            assert_same(state_of(stacks[0], m), state_of(stacks[1], m))

    def test_it_needs_no_float64(self):
        """MPS has none, and no machine that runs these tests need have MPS."""
        X, y = some_pixels()
        with NoFloat64():
            train(a_stack(), ArraySampler(X, members=3), y, replace(Recipe.paper(), max_epochs=9))

    def test_a_loss_that_is_not_finite_is_an_error(self):
        X, y = some_pixels()
        X[:] = np.inf
        with pytest.raises(DsegError, match=r"loss of member 0 is nan at step 1.*finite"):
            train(a_stack(), ArraySampler(X, members=3), y, Recipe.default(30))


def test_the_learning_rate_decays_to_nothing():
    recipe = Recipe.default()
    rates = [recipe.rate(step, 4000) for step in (0, 2000, 4000)]
    assert rates == pytest.approx([3e-3, 1.5e-3, 0])


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300), st.integers(1, 64), st.integers(0, 9), st.integers(0, 9))
def test_an_epoch_is_a_permutation_less_its_last_part(n, batch_size, seed, epoch):
    sampler = ArraySampler(
        np.zeros((n, 1), np.float32), members=2, batch_size=batch_size, seed=seed
    )
    batches = list(sampler.epoch(epoch))
    assert len(batches) == sampler.batches_per_epoch
    for member in range(2):
        drawn = np.concatenate([batch.index[member] for batch in batches])
        assert len(set(drawn)) == len(drawn) == n // sampler.batch_size * sampler.batch_size
        assert set(drawn) <= set(range(n))


def test_orders_differ_between_members_and_epochs():
    sampler = ArraySampler(np.zeros((100, 1), np.float32), members=2, batch_size=100)
    first, second = (next(sampler.epoch(e)).index for e in (0, 1))
    assert len({tuple(order) for order in (*first, *second)}) == 4


@given(st.integers(1, 5 * LOG_LENGTH), st.sampled_from([1, 10]))
@settings(deadline=None, max_examples=20)
def test_a_loss_curve_stays_short_and_even(count, every):
    log = MemberLog()
    for i in range(count):
        log.note(1 + i * every, 0.5)
    steps = [step for step, _ in log.losses]
    assert min(count, LOG_LENGTH) <= len(steps) < 2 * LOG_LENGTH
    assert len(set(np.diff(steps))) <= 1


def test_a_log_survives_json():
    members = [MemberLog(20, 2, "20 steps", [(1, 0.5), (11, 0.25)])]
    log = TrainingLog(Recipe.paper(), 640, 1.5, members)
    assert TrainingLog.from_dict(json.loads(json.dumps(log.to_dict()))) == log


def test_a_step_takes_time_and_leaves_the_stack_alone():
    stack = a_stack()
    before = state_of(stack, 0)
    assert seconds_per_step(stack, batch_size=4) > 0
    assert_same(before, state_of(stack, 0))
