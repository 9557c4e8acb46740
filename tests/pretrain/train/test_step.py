"""A step is the published one, and a run that is broken off goes on as if it had not been."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from dseg.pretrain.run.state import read_state, write_state
from dseg.pretrain.train.recipe import Recipe, learning_rate
from dseg.pretrain.train.step import Training, noise_loss
from dseg.store.errors import DsegError

BATCH = 4
RECIPE = Recipe(batch_size=BATCH, warmup=3, ema_decay=0.7, seed=5)


def batch(step):
    return np.random.default_rng(step).uniform(-1, 1, (BATCH, 3, 8, 8)).astype(np.float32)


def take(training, steps):
    return [float(training.step(batch(training.done), 1e-3 / (1 + step))) for step in steps]


def assert_same_state(one, other):
    (a, values_a), (b, values_b) = one.state(), other.state()
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
    assert values_a == values_b


def test_the_loss_is_the_mean_squared_error_of_the_noise():
    T = 50
    betas = np.linspace(1e-3, 0.2, T)
    bar = np.cumprod(1 - betas)
    x, noise = torch.randn(2, 3, 3, 4, 4, dtype=torch.float64).float()
    t = torch.tensor([0, 17, T - 1])
    seen = {}

    class Network:
        def __call__(self, x_t, t):
            seen.update(x_t=x_t, t=t)
            answer = torch.cat([x_t**2, 100 * x_t], 1)  # six channels: the variance does not count
            return type("Output", (), {"sample": answer})

    loss = noise_loss(Network(), DDPMScheduler(T, trained_betas=betas), x, t, noise)
    signal, spread = (
        torch.from_numpy(np.sqrt(weight[t.numpy()])).view(3, 1, 1, 1) for weight in (bar, 1 - bar)
    )
    x_t = signal * x + spread * noise
    torch.testing.assert_close(seen["x_t"].double(), x_t, atol=1e-6, rtol=1e-5)
    assert torch.equal(seen["t"], t)
    expected = ((x_t**2 - noise) ** 2).mean()
    torch.testing.assert_close(loss.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_broken_run_equals_an_unbroken_one_bit_for_bit(unet, here, tmp_path, dropout):
    def begin(seed):
        return Training(unet(seed, dropout=dropout), DDPMScheduler(), RECIPE, here)

    whole, first = begin(1), begin(1)
    losses = take(whole, range(8))
    parts = take(first, range(4))
    write_state(tmp_path / "state", *_with_seconds(first))
    second = begin(2)  # other weights, which the state replaces
    second.restore(*read_state(tmp_path / "state"))
    torch.rand(7)  # a generator that others use does not matter
    assert losses == parts + take(second, range(4, 8))
    assert_same_state(whole, second)
    assert dropout == 0 or _dropout_counts(unet, here)


def _with_seconds(training):
    tensors, values = training.state()
    return tensors, values | {"seconds": 1.0}


def _dropout_counts(unet, here):
    """Say whether dropout changes the loss: else the test above would be none of it."""
    with_it, without = (
        Training(unet(1, dropout=dropout), DDPMScheduler(), RECIPE, here) for dropout in (0.3, 0.0)
    )
    return take(with_it, range(1)) != take(without, range(1))


def test_another_seed_is_another_run(unet, here):
    one, same, other = (
        Training(unet(1), DDPMScheduler(), Recipe(batch_size=BATCH, seed=seed), here)
        for seed in (5, 5, 6)
    )
    assert take(one, range(2)) == take(same, range(2)) != take(other, range(2))


def test_a_step_is_clipped_adam(unet, here):
    """Against the same step written with PyTorch's plain optimiser."""
    recipe = Recipe(batch_size=BATCH, clip=0.05)
    training, plain = Training(unet(1), DDPMScheduler(), recipe, here), unet(1).train()
    optimiser = torch.optim.AdamW(plain.parameters(), lr=1, weight_decay=recipe.weight_decay)
    for step in range(3):
        t, noise = training._draw(torch.Size((3, 8, 8)))
        loss = noise_loss(plain, DDPMScheduler(), torch.from_numpy(batch(step)), t, noise)
        optimiser.param_groups[0]["lr"] = 1e-2
        optimiser.zero_grad()
        loss.backward()
        norm = torch.sqrt(sum(p.grad.square().sum() for p in plain.parameters()))
        assert norm > recipe.clip
        for parameter in plain.parameters():
            parameter.grad *= recipe.clip / norm.item()
        optimiser.step()
        assert float(training.step(batch(step), 1e-2)) == pytest.approx(loss.item(), rel=1e-4)
    got, wanted, before = (
        torch.cat([p.detach().flatten() for p in network.parameters()])
        for network in (training.network, plain, unet(1))
    )
    assert (got - wanted).norm() < 1e-3 * (wanted - before).norm()


def test_the_average_equals_a_plain_one(unet, here):
    largest = 0.5
    recipe = Recipe(batch_size=BATCH, ema_decay=largest)
    training, plain = Training(unet(1), DDPMScheduler(), recipe, here), []
    for n in range(12):
        training.step(batch(n), 1e-2)
        now = [p.detach().double().clone() for p in training.network.parameters()]
        decay = min(largest, (1 + n) / (10 + n))
        before = plain or now
        plain = [decay * a + (1 - decay) * b for a, b in zip(before, now, strict=True)]
    assert decay == largest > (1 + 1) / (10 + 1)
    lags = []
    for got, wanted, last in zip(training.averaged.parameters(), plain, now, strict=True):
        torch.testing.assert_close(got.double(), wanted, atol=1e-6, rtol=1e-4)
        lags.append(float((got.detach() - last).abs().max()))
    assert max(lags) > 1e-3
    assert not training.averaged.training


def test_the_decay_of_the_average_has_a_ceiling(unet, here):
    training = Training(unet(1), DDPMScheduler(), Recipe(batch_size=BATCH, ema_decay=0.0), here)
    take(training, range(3))
    for got, now in zip(training.averaged.parameters(), training.network.parameters(), strict=True):
        assert torch.equal(got, now)


def test_the_learning_rate_rises_stays_and_falls():
    recipe, steps = Recipe(learning_rate=2.0, warmup=20), 200
    rates = np.array([learning_rate(recipe, step, step / steps) for step in range(steps + 1)])
    np.testing.assert_allclose(rates[:20], 2.0 * np.arange(1, 21) / 20)
    np.testing.assert_allclose(rates[20:140], 2.0)
    np.testing.assert_allclose(rates[140:], 2.0 * np.linspace(1, 0, 61), atol=1e-12)
    assert learning_rate(Recipe(warmup=0), 0, 0.0) == Recipe().learning_rate


def test_a_state_of_another_network_is_refused(unet, here):
    training = Training(unet(1), DDPMScheduler(), RECIPE, here)
    other = Training(unet(1, block_out_channels=(8, 32)), DDPMScheduler(), RECIPE, here)
    take(other, range(1))
    with pytest.raises(
        DsegError, match=r"the saved state does not belong to this run: .*Start again with --over"
    ):
        training.restore(*other.state())


def test_numbers_that_are_none_are_seen(unet, here):
    training = Training(unet(1), DDPMScheduler(), RECIPE, here)
    take(training, range(1))
    assert training.is_finite()
    with torch.no_grad():
        next(training.network.parameters())[0, 0, 0, 0] = torch.nan
    assert not training.is_finite()


def test_bfloat16_computes_in_less_but_keeps_float32(unet, here):
    half = Training(unet(1), DDPMScheduler(), RECIPE, here, torch.bfloat16)
    full = Training(unet(1), DDPMScheduler(), RECIPE, here)
    one, other = take(half, range(3)), take(full, range(3))
    assert one != other
    np.testing.assert_allclose(one, other, rtol=0.05)
    assert {v.dtype for v in half.state()[0].values()} <= {torch.float32, torch.int64}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler
def test_a_compiled_network_learns_the_same(here, unet):
    losses = []
    for compiled in (False, True):
        training = Training(unet(1), DDPMScheduler(), RECIPE, here, compiled=compiled)
        losses.append(take(training, range(3)))
        assert not any("_orig_mod" in name for name in training.state()[0])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
