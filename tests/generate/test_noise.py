"""Noise by seed."""

import pytest
import torch
from dseg.generate.noise import SeededNoise
from dseg.store.errors import InputError

SHAPE = (3, 8, 8)


def test_an_images_noise_depends_on_its_seed_alone() -> None:
    together, alone = SeededNoise([4, 7, 9], SHAPE), SeededNoise([7], SHAPE)
    for _ in range(3):
        assert torch.equal(together()[1], alone()[0])


def test_draws_and_seeds_differ() -> None:
    noise = SeededNoise([0, 1], SHAPE)
    first, second = noise(), noise()
    different = [first[0], first[1], second[0], second[1]]
    assert all(not torch.equal(a, b) for k, a in enumerate(different) for b in different[:k])
    assert abs(float(torch.stack(different).std()) - 1) < 0.1


def test_it_is_pytorchs_normal_noise_of_that_seed() -> None:
    generator = torch.Generator("cpu").manual_seed(5)
    noise = SeededNoise([5], SHAPE)
    for _ in range(2):
        assert torch.equal(noise()[0], torch.randn(SHAPE, generator=generator))


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(InputError, match=f"seed {seed} is out of range"):
        SeededNoise([0, seed], SHAPE)
