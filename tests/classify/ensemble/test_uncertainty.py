import numpy as np
import pytest
import torch
from dseg import image_uncertainty
from dseg.classify.ensemble.uncertainty import jensen_shannon
from dseg.store.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.integers(2, 6), st.floats(0, 60), st.integers(0, 99))
def test_bounds(members, classes, spread, seed):
    scores = np.random.default_rng(seed).normal(size=(members, 50, classes)) * spread
    js = jensen_shannon(torch.from_numpy(scores).float().softmax(-1).numpy())
    assert js.dtype == np.float32
    assert (js >= 0).all()
    assert (js <= np.log(min(members, classes)) + 1e-6).all()


def test_members_that_agree_are_certain():
    p = np.broadcast_to(np.float32([[0.2, 0.3, 0.5], [1, 0, 0]]), (10, 2, 3))
    np.testing.assert_allclose(jensen_shannon(p), 0, atol=1e-7)


def test_one_member_is_refused():
    with pytest.raises(InputError, match=r"has 1 member: .* needs at least two"):
        jensen_shannon(np.ones((1, 3, 2), np.float32))


@pytest.mark.parametrize(("n", "expected"), [(63, 59.5), (25, 23.5), (9, 8), (1, 0)])
def test_the_highest_tenth_counts(n, expected):
    shuffled = np.random.default_rng(0).permutation(n).astype(float)
    assert image_uncertainty(shuffled) == expected


def test_no_pixels_are_refused():
    with pytest.raises(InputError, match="without pixels"):
        image_uncertainty(np.zeros((0, 3)))
